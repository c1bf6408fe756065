// Who is signed in, and what they may do.

import type { Me } from "./types";
import { get, onSignedOut, post, Problem, asProblem } from "./http";

class SessionState {
  me = $state.raw<Me | null>(null);
  problem = $state.raw<Problem | null>(null);

  constructor() {
    onSignedOut(() => {
      if (this.me?.person) this.me = { ...this.me, person: null, actions: [] };
    });
  }

  async load(): Promise<void> {
    try {
      this.me = await get<Me>("/api/v1/me");
      this.problem = null;
    } catch (error) {
      this.problem = asProblem(error);
    }
  }

  /** `action` as the design names them: live, playback, still, export, cameras, accounts, access_log. */
  may(action: string): boolean {
    return this.me?.actions.some((one) => one.toLowerCase() === action) ?? false;
  }

  async signOut(): Promise<void> {
    await post("/api/v1/sign-out").catch(() => undefined);
    await this.load();
  }
}

export const session = new SessionState();
