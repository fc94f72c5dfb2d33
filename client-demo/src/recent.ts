import { type Address, addressOf, socketUrl } from './address.ts';
import { field } from './field.ts';
import { recall, remember } from './stored.ts';

const key = `recent:${socketUrl()}`;
const maxKept = 50;

/** Documents that were opened in this browser, the latest first, each as it was opened: a token may be for one only. */
export function recentAddresses(): Address[] {
  try {
    const kept: unknown = JSON.parse(recall(key) ?? '[]');
    return Array.isArray(kept) ? kept.flatMap(readAddress) : [];
  } catch {
    return [];
  }
}

export function addRecent({ name, token }: Address): void {
  const others = recentAddresses().filter((other) => other.name !== name);
  const kept = [{ name, token }, ...others.map((other) => ({ name: other.name, token: other.token }))];
  remember(key, JSON.stringify(kept.slice(0, maxKept)));
}

function readAddress(kept: unknown): Address[] {
  const [name, token] = [field(kept, 'name'), field(kept, 'token')];
  return typeof name === 'string' ? [addressOf(name, typeof token === 'string' ? token : undefined)] : [];
}
