// Addresses of the pages: `#/review?cameras=gate&at=…`. Behind the #, so that the one-time codes of links
// are never sent to a server, and the app may be served from any folder.

export type Page = "watch" | "review" | "status" | "settings" | "access-log" | "sign-in" | "set-up" | "invitation";

const PAGES: readonly string[] = ["watch", "review", "status", "settings", "access-log", "sign-in", "set-up", "invitation"];

export type Route = {
  /** Empty: the front door; the app decides by what the person may do. */
  page: Page | "";
  /** What follows the page's name. */
  rest: string;
  query: URLSearchParams;
};

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name = "", ...rest] = path.split("/");
  return {
    page: PAGES.includes(name) ? (name as Page) : "",
    rest: decodeURIComponent(rest.join("/")),
    query: new URLSearchParams(query),
  };
}

export function address(page: Page, rest = "", query: Record<string, string> = {}): string {
  const search = new URLSearchParams(query).toString();
  return `#/${page}${rest ? `/${encodeURIComponent(rest)}` : ""}${search ? `?${search}` : ""}`;
}

class Router {
  route = $state.raw<Route>(parseRoute(typeof location === "undefined" ? "" : location.hash));

  constructor() {
    if (typeof window !== "undefined") {
      window.addEventListener("hashchange", () => (this.route = parseRoute(location.hash)));
    }
  }

  go(page: Page, rest = "", query: Record<string, string> = {}): void {
    location.hash = address(page, rest, query);
  }

  /** To the front door. */
  leave(): void {
    history.replaceState(null, "", location.pathname);
    this.route = parseRoute("");
  }

  /** Without a step in the browser's history: for a view that changes as it is used. */
  replace(page: Page, rest = "", query: Record<string, string> = {}): void {
    history.replaceState(null, "", address(page, rest, query));
    this.route = parseRoute(location.hash);
  }
}

export const router = new Router();
