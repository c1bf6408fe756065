// What a person chose, kept in this browser; without storage, until the page is left.

const instead = new Map<string, string>();

export function kept(name: string): string | null {
  try {
    return localStorage.getItem(`khupho.${name}`);
  } catch {
    return instead.get(name) ?? null;
  }
}

export function keep(name: string, value: string): void {
  instead.set(name, value);
  try {
    localStorage.setItem(`khupho.${name}`, value);
  } catch {
    // then only until the page is left
  }
}
