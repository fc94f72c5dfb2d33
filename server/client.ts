// The HTTP API for programs: needs nothing but `fetch` and `crypto`, so that it runs in browsers, Node, Deno and workers. Its types are
// those of the schemas that the server checks with; nothing of them is there when it runs.
import type { z } from 'zod';
import type * as schemas from './api/schemas.ts';
import type { Json } from './documents/content.ts';
import type { ErrorCode } from './errors.ts';

export type { Json };
export type DocumentList = z.output<typeof schemas.documentList>;
export type Operation = z.input<typeof schemas.patch>['operations'][number];
export type RootType = z.output<typeof schemas.rootType>;
export type Statistics = z.output<typeof schemas.statistics>;
export type Connection = z.output<typeof schemas.connections>['connections'][number];
export type AccessAnswer = z.output<typeof schemas.accessAnswer>;

/** How requests are sent. */
export interface ClientOptions {
  /** Of the server, as `https://docs.example.org`. */
  readonly url: string;
  /** A token, or what gives one for each request. */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /** Instead of the global one. */
  readonly fetch?: typeof fetch | undefined;
  /** How often a request is tried again that did not arrive, or may be answered later; 5 when left out. */
  readonly retries?: number | undefined;
  /** Milliseconds that one attempt may take; 30,000 when left out. */
  readonly timeoutMs?: number | undefined;
}

/** How something is read. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
}

/** How a document is created. */
export interface CreateOptions extends ChangeOptions {
  /** What roots are, where their JSON would be taken for something else. */
  readonly types?: Readonly<Record<string, RootType>> | undefined;
}

/** Which root of a document, and what it is where that does not show. */
export interface RootOptions<Type extends RootType = RootType> extends ReadOptions {
  readonly root?: string | undefined;
  readonly type?: Type | undefined;
}

/** Where relative positions are asked for. */
export interface PositionOptions {
  /** Indexes in the root, or in what lies at the path. */
  readonly relative?: readonly number[] | undefined;
  readonly path?: readonly (string | number)[] | undefined;
}

/** What was read. */
export interface Read<T> {
  readonly content: T;
  /** For `ifMatch`. */
  readonly etag: string;
  /** In the order of the indexes, for `at: { relative }`: they stay where they are, whatever is typed meanwhile. */
  readonly positions: readonly string[];
}

/** How a change is made. */
export interface ChangeOptions {
  /** Of the request; one that is made up when left out, so that what is tried again is done once. */
  readonly idempotencyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** A change that is refused when the document has moved on. */
export interface PatchOptions extends ChangeOptions {
  readonly ifMatch?: string | undefined;
}

/** What the server, or the way to it, had against a request. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  /** Of the server's table of errors; `unknown` for what something on the way has answered. */
  readonly code: ErrorCode | 'unknown';
  readonly status: number;
  /** The present one, where the document has moved on. */
  readonly etag: string | null;

  constructor(
    status: number,
    problem: { code?: string; title?: string; detail?: string },
    etag: string | null,
  ) {
    super([problem.title ?? `HTTP ${status}`, problem.detail].filter(Boolean).join(': '));
    this.status = status;
    this.code = (problem.code as ErrorCode | undefined) ?? 'unknown';
    this.etag = etag;
  }
}

const RETRIES = 5;
const TIMEOUT_MS = 30_000;
/** The pause before another attempt is a random part of this, doubled each time, and not shorter than the server says. */
const PAUSE_MS = 200;
const PAUSE_MAX_MS = 5_000;
/** These end by themselves, but for a document whose storage has to be mended. */
const SOON_OVER = new Set([429, 502, 503, 504]);
const RETRY_AFTER_MAX_MS = 30_000;
const LASTING: ReadonlySet<string> = new Set(['document_unavailable']);
const POSITIONS = 'Relative-Positions';

interface Sent {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer> | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The HTTP API of a server. What has resolved is committed. What did not arrive is tried again, with the same idempotency key.
 *
 * Every method rejects with an {@link ApiError}; with what `fetch` throws when no attempt has arrived.
 */
export class IndelibleClient {
  readonly #options: ClientOptions;

  constructor(options: ClientOptions) {
    this.#options = options;
  }

  /** A page of the names that the token may read, in the order of their bytes. */
  async list(page: { prefix?: string; cursor?: string | null; limit?: number } = {}): Promise<DocumentList> {
    const query = { prefix: page.prefix, cursor: page.cursor ?? undefined, limit: page.limit?.toString() };
    return (
      await this.#send({ method: 'GET', path: '/api/documents', query })
    ).json() as Promise<DocumentList>;
  }

  /** All roots as JSON, or one. */
  async json(name: string, options: RootOptions & PositionOptions = {}): Promise<Read<Json>> {
    const response = await this.#read(name, 'json', options);
    return readOf(response, (await response.json()) as Json);
  }

  /** The text of a root, without formatting. */
  async text(
    name: string,
    options: RootOptions<'text' | 'xml'> & PositionOptions = {},
  ): Promise<Read<string>> {
    const response = await this.#read(name, 'text', options);
    return readOf(response, await response.text());
  }

  /** All of a document as a Yjs update. */
  async update(name: string): Promise<Read<Uint8Array<ArrayBuffer>>> {
    const response = await this.#read(name, 'yjs', {});
    return readOf(response, new Uint8Array(await response.arrayBuffer()));
  }

  /** The version of a document; `null` when there is none. */
  async etag(name: string): Promise<string | null> {
    try {
      return (await this.#send({ method: 'HEAD', path: pathOf(name) })).headers.get('ETag');
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null;
      throw error;
    }
  }

  /** @param content - roots as JSON, or a Yjs update; blank when left out */
  async create(
    name: string,
    content?: Readonly<Record<string, Json>> | Uint8Array,
    options: CreateOptions = {},
  ): Promise<void> {
    const type = Object.entries(options.types ?? {}).map((root) => root.join(':'));
    await this.#change({ method: 'POST', path: pathOf(name), query: { type }, ...bodyOf(content) }, options);
  }

  /**
   * Does operations in one transaction.
   * @returns the ETag of the document with them
   */
  async patch(name: string, operations: readonly Operation[], options?: PatchOptions): Promise<string> {
    return this.#patch(name, bodyOf({ operations }), options);
  }

  /**
   * Applies a Yjs update.
   * @returns the ETag of the document with it
   */
  async applyUpdate(name: string, update: Uint8Array, options?: PatchOptions): Promise<string> {
    return this.#patch(name, bodyOf(update), options);
  }

  async #patch(
    name: string,
    sent: Pick<Sent, 'headers' | 'body'>,
    options: PatchOptions = {},
  ): Promise<string> {
    const headers = {
      ...sent.headers,
      ...(options.ifMatch !== undefined && { 'If-Match': options.ifMatch }),
    };
    const response = await this.#change({ method: 'PATCH', path: pathOf(name), ...sent, headers }, options);
    return response.headers.get('ETag') ?? '';
  }

  async delete(name: string, options?: ChangeOptions): Promise<void> {
    await this.#change({ method: 'DELETE', path: pathOf(name) }, options);
  }

  async restore(name: string, options?: ChangeOptions): Promise<void> {
    await this.#change({ method: 'POST', path: `${pathOf(name)}/restore` }, options);
  }

  async erase(name: string, options?: ChangeOptions): Promise<void> {
    await this.#change({ method: 'POST', path: `${pathOf(name)}/erase` }, options);
  }

  async duplicate(name: string, to: string, options?: ChangeOptions): Promise<void> {
    await this.#change({ method: 'POST', path: `${pathOf(name)}/duplicate`, ...bodyOf({ to }) }, options);
  }

  async rename(name: string, to: string, options?: ChangeOptions): Promise<void> {
    await this.#change({ method: 'POST', path: `${pathOf(name)}/rename`, ...bodyOf({ to }) }, options);
  }

  /** Who is connected, at all instances. */
  async connections(name: string): Promise<Connection[]> {
    const response = await this.#send({ method: 'GET', path: `${pathOf(name)}/connections` });
    return ((await response.json()) as z.output<typeof schemas.connections>).connections;
  }

  async statistics(name: string): Promise<Statistics> {
    return (
      await this.#send({ method: 'GET', path: `${pathOf(name)}/statistics` })
    ).json() as Promise<Statistics>;
  }

  /** What the token allows. */
  async access(name: string): Promise<AccessAnswer> {
    const path = `/api/access/${encodeURIComponent(name)}`;
    return (await this.#send({ method: 'GET', path })).json() as Promise<AccessAnswer>;
  }

  /** Takes access back: a document's, a user's, or that of a user to a document. */
  async revoke(whose: { document?: string; user?: string }): Promise<void> {
    await this.#send({ method: 'POST', path: '/api/revocations', ...bodyOf(whose) });
  }

  #read(name: string, format: string, options: RootOptions & PositionOptions): Promise<Response> {
    const query = {
      format,
      root: options.root,
      type: options.type,
      relative: options.relative?.join(','),
      path: options.path && JSON.stringify(options.path),
    };
    return this.#send({ method: 'GET', path: pathOf(name), query, signal: options.signal });
  }

  #change(sent: Sent, { idempotencyKey = randomKey(), signal }: ChangeOptions = {}): Promise<Response> {
    return this.#send({ ...sent, headers: { ...sent.headers, 'Idempotency-Key': idempotencyKey }, signal });
  }

  async #send(sent: Sent): Promise<Response> {
    const { retries = RETRIES } = this.#options;
    let open: { readonly error: unknown } | undefined;
    for (let attempt = 0; ; attempt += 1) {
      const outcome = await this.#attempt(sent);
      if ('response' in outcome) return outcome.response;
      sent.signal?.throwIfAborted();
      if (!isSoonOver(outcome.error)) throw outcome.error;
      // What was refused later says nothing of what was done before.
      if (isOpen(outcome.error)) open ??= outcome;
      if (attempt >= retries) throw (open ?? outcome).error;
      const pause = Math.random() * Math.min(PAUSE_MS * 2 ** attempt, PAUSE_MAX_MS);
      await rest(Math.max(pause, outcome.retryAfterMs), sent.signal);
    }
  }

  async #attempt(sent: Sent): Promise<{ response: Response } | { error: unknown; retryAfterMs: number }> {
    const { timeoutMs = TIMEOUT_MS, url, token } = this.#options;
    const send = this.#options.fetch ?? fetch;
    const bearer = typeof token === 'function' ? await token() : token;
    const address = new URL(url.replace(/\/$/, '') + sent.path);
    for (const [name, value] of Object.entries(sent.query ?? {}))
      for (const each of [value ?? []].flat()) address.searchParams.append(name, each);
    try {
      const timeout = AbortSignal.timeout(timeoutMs);
      const response = await send(address, {
        method: sent.method,
        headers: { ...sent.headers, ...(bearer !== undefined && { Authorization: `Bearer ${bearer}` }) },
        signal: sent.signal === undefined ? timeout : AbortSignal.any([timeout, sent.signal]),
        ...(sent.body !== undefined && { body: sent.body }),
      });
      if (response.ok) return { response: await whole(response) };
      const retryAfterMs = Number(response.headers.get('Retry-After') ?? 0) * 1_000 || 0;
      return { error: await errorOf(response), retryAfterMs: Math.min(retryAfterMs, RETRY_AFTER_MAX_MS) };
    } catch (error) {
      return { error, retryAfterMs: 0 };
    }
  }
}

/** With its body, which may be cut, so that it is sent again then. An answer that has none has a blank one in Chromium. */
async function whole(response: Response): Promise<Response> {
  const { status, headers } = response;
  const body = await response.arrayBuffer();
  return new Response(body.byteLength === 0 ? null : body, { status, headers });
}

/** Not by `randomUUID`, which pages have with TLS only. */
function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** @throws the signal's reason when that is aborted */
function rest(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Whether what was asked may be done, or be live, all the same. */
function isOpen(error: unknown): boolean {
  return !(error instanceof ApiError) || error.status === 502 || error.status === 504;
}

function pathOf(name: string): string {
  return `/api/documents/${encodeURIComponent(name)}`;
}

function bodyOf(content: object | undefined): Pick<Sent, 'headers' | 'body'> {
  if (content === undefined) return {};
  if (content instanceof Uint8Array) {
    return {
      headers: { 'Content-Type': 'application/octet-stream' },
      body: content as Uint8Array<ArrayBuffer>,
    };
  }
  return { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(content) };
}

function readOf<T>({ headers }: Response, content: T): Read<T> {
  const positions = headers.get(POSITIONS)?.split(', ') ?? [];
  return { content, etag: headers.get('ETag') ?? '', positions };
}

async function errorOf(response: Response): Promise<ApiError> {
  const etag = response.headers.get('ETag');
  const text = await response.text();
  try {
    return new ApiError(response.status, JSON.parse(text) as { code?: string }, etag);
  } catch {
    return new ApiError(response.status, {}, etag);
  }
}

/** Also for what never arrived, since nothing is done twice. */
function isSoonOver(error: unknown): boolean {
  return !(error instanceof ApiError) || (SOON_OVER.has(error.status) && !LASTING.has(error.code));
}
