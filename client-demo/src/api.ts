import { type Address, httpUrl } from './address.ts';
import { field } from './field.ts';

/** How long an answer may take, in ms; then it is as if there were none. */
const patience = 5000;

export type Access = 'read' | 'write';

/** What the bearer of an address may do. */
interface Rights {
  readonly access: Access;
  /** Nobody needs a token: then every link lets everybody write. */
  readonly isOpenToAll: boolean;
}

/** A page of the list of documents. */
interface NameList {
  readonly names: readonly string[];
  /** Where the next page begins, if there is one. */
  readonly cursor: string | undefined;
}

/** @returns `undefined` when the server does not say */
export async function askRights({ name, token }: Address): Promise<Rights | undefined> {
  const answer = await ask(`/api/access/${encodeURIComponent(name)}`, token);
  const access = field(answer, 'access');
  if (typeof access !== 'string') return undefined;
  return { access: access === 'read' ? 'read' : 'write', isOpenToAll: field(answer, 'user') === null };
}

/** @returns `undefined` when the server does not list its documents, or not for this token */
export async function listNames(
  token: string | undefined,
  { prefix, cursor }: { prefix: string; cursor?: string | undefined },
): Promise<NameList | undefined> {
  const query = new URLSearchParams({ prefix, limit: '100', ...(cursor !== undefined && { cursor }) });
  const answer = await ask(`/api/documents?${query}`, token);
  const names = field(answer, 'names');
  if (!Array.isArray(names)) return undefined;
  const next = field(answer, 'cursor');
  return {
    names: names.filter((name) => typeof name === 'string'),
    cursor: typeof next === 'string' ? next : undefined,
  };
}

/** A token for somebody else. @returns `undefined` when the server gives none away */
export async function mintToken({ name }: Address, access: Access): Promise<string | undefined> {
  const token = field(await ask('/api/dev/tokens', undefined, { document: name, access }), 'token');
  return typeof token === 'string' ? token : undefined;
}

/** How long the server takes to answer, in ms, if it does. */
export async function measureLatency(address: Address): Promise<number | undefined> {
  const start = performance.now();
  return (await askRights(address)) && performance.now() - start;
}

/** @returns what the server answers, `undefined` if it is out of reach or refuses */
async function ask(path: string, token: string | undefined, body?: object): Promise<unknown> {
  try {
    const response = await fetch(httpUrl(path), {
      method: body === undefined ? 'GET' : 'POST',
      headers: {
        ...(token !== undefined && { Authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(patience),
    });
    return response.ok ? await response.json() : undefined;
  } catch {
    return undefined;
  }
}
