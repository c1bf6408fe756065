// People of this recorder, and one's own sessions.

import { get, patch, post, remove } from "./http";
import type { AccessPage, Account, AccountChange, Invited, NewAccount, Session } from "./types";

export const accounts = async (): Promise<Account[]> => (await get<{ accounts: Account[] }>("/api/v1/accounts")).accounts;
export const invite = (wanted: NewAccount): Promise<Invited> => post<Invited>("/api/v1/accounts", wanted);
export const changeAccount = (id: number, changes: AccountChange): Promise<void> => patch(`/api/v1/accounts/${id}`, changes);
export const removeAccount = (id: number): Promise<void> => remove(`/api/v1/accounts/${id}`);
export const resetPassword = async (id: number): Promise<string> =>
  (await post<{ code: string }>(`/api/v1/accounts/${id}/reset-password`)).code;

export const mySessions = (): Promise<Session[]> => get<Session[]>("/api/v1/me/sessions");
export const endSession = (id: number): Promise<void> => remove(`/api/v1/sessions/${id}`);
export const changePassword = (old: string, wanted: string): Promise<void> => post("/api/v1/me/password", { old, new: wanted });

export type LogFilter = { camera: string; account: string };

export function accessLog(filter: LogFilter, before: number | null, limit: number): Promise<AccessPage> {
  const query = new URLSearchParams({ limit: String(limit) });
  if (before !== null) query.set("before", String(before));
  if (filter.camera) query.set("camera", filter.camera);
  if (filter.account) query.set("account", filter.account);
  return get<AccessPage>(`/api/v1/access-log?${query.toString()}`);
}
