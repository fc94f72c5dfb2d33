import { expect, vi } from 'vitest';

/** What a server answers to `GET /readyz`, with the status of the answer as `code`. */
interface Readiness {
  code: number;
  status: string;
  database: string;
  redis: string;
}

export async function readiness(url: string): Promise<Readiness> {
  const response = await fetch(`${url}/readyz`);
  return { code: response.status, ...((await response.json()) as Omit<Readiness, 'code'>) };
}

/** The server asks the database for 2 s, and its answer serves for one; the rest is for slow machines. */
const DEADLINE_MS = 10_000;

/** Holds when a server answers so. */
export async function readinessBecomes(url: string, expected: Partial<Readiness>): Promise<void> {
  await vi.waitFor(async () => expect(await readiness(url)).toMatchObject(expected), DEADLINE_MS);
}
