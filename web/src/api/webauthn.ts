// Passkeys: the recorder's JSON options to the browser's own calls and back (WebAuthn level 3 JSON forms).

import { get, post, remove } from "./http";
import type { Passkey } from "./types";

export function hasPasskeys(): boolean {
  return typeof PublicKeyCredential !== "undefined" && isSecureContext;
}

function toBytes(text: string): ArrayBuffer {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0)).buffer;
}

function toText(buffer: ArrayBuffer | null): string | null {
  if (!buffer) return null;
  let plain = "";
  for (const byte of new Uint8Array(buffer)) plain += String.fromCharCode(byte);
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

type Descriptor = { id: string; type: "public-key"; transports?: AuthenticatorTransport[] };
type CreateOptions = Omit<PublicKeyCredentialCreationOptions, "challenge" | "user" | "excludeCredentials"> & {
  challenge: string;
  user: { id: string; name: string; displayName: string };
  excludeCredentials?: Descriptor[];
};
type GetOptions = Omit<PublicKeyCredentialRequestOptions, "challenge" | "allowCredentials"> & {
  challenge: string;
  allowCredentials?: Descriptor[];
};

const descriptors = (list: Descriptor[] | undefined): PublicKeyCredentialDescriptor[] =>
  (list ?? []).map((one) => ({ ...one, id: toBytes(one.id) }));

/** Makes a passkey on this device for the account that is signed in. */
export async function addPasskey(name: string): Promise<void> {
  const options = await post<CreateOptions>("/api/v1/me/passkeys/options");
  const made = (await navigator.credentials.create({
    publicKey: {
      ...options,
      challenge: toBytes(options.challenge),
      user: { ...options.user, id: toBytes(options.user.id) },
      excludeCredentials: descriptors(options.excludeCredentials),
    },
  })) as PublicKeyCredential | null;
  if (!made) return;
  const response = made.response as AuthenticatorAttestationResponse;
  await post("/api/v1/me/passkeys", {
    label: name,
    answer: {
      id: made.id,
      rawId: toText(made.rawId),
      type: made.type,
      authenticatorAttachment: made.authenticatorAttachment,
      clientExtensionResults: made.getClientExtensionResults(),
      response: {
        clientDataJSON: toText(response.clientDataJSON),
        attestationObject: toText(response.attestationObject),
        transports: response.getTransports(),
      },
    },
  });
}

export async function signInWithPasskey(): Promise<boolean> {
  const options = await post<GetOptions>("/api/v1/passkey-sign-in/options");
  const found = (await navigator.credentials.get({
    publicKey: { ...options, challenge: toBytes(options.challenge), allowCredentials: descriptors(options.allowCredentials) },
  })) as PublicKeyCredential | null;
  if (!found) return false;
  const response = found.response as AuthenticatorAssertionResponse;
  await post("/api/v1/passkey-sign-in", {
    answer: {
      id: found.id,
      rawId: toText(found.rawId),
      type: found.type,
      authenticatorAttachment: found.authenticatorAttachment,
      clientExtensionResults: found.getClientExtensionResults(),
      response: {
        clientDataJSON: toText(response.clientDataJSON),
        authenticatorData: toText(response.authenticatorData),
        signature: toText(response.signature),
        userHandle: toText(response.userHandle),
      },
    },
  });
  return true;
}

/** A person who closed the browser's own dialog has made no mistake. */
export function wasCancelled(error: unknown): boolean {
  return error instanceof DOMException && (error.name === "NotAllowedError" || error.name === "AbortError");
}

export const passkeys = (): Promise<Passkey[]> => get<Passkey[]>("/api/v1/me/passkeys");
export const removePasskey = (id: number): Promise<void> => remove(`/api/v1/me/passkeys/${id}`);
