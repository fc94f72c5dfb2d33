import { recall, remember } from './stored.ts';

const key = 'recent';
const maxKept = 50;

/** Documents that were opened in this browser, the latest first. */
export function recentNames(): string[] {
  try {
    const names: unknown = JSON.parse(recall(key) ?? '[]');
    return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
  } catch {
    return [];
  }
}

export function addRecent(name: string): void {
  const others = recentNames().filter((other) => other !== name);
  remember(key, JSON.stringify([name, ...others].slice(0, maxKept)));
}
