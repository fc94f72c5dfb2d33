import { toBase64 } from 'lib0/buffer';
import type { Context } from 'hono';
import { IndelibleError } from '../errors.ts';
import { repeat } from '../lifecycle.ts';
import type { Log } from '../log.ts';
import { idOf, type RequestRecord, type Requests, type StoredAnswer } from '../storage/requests.ts';
import { orUnavailable } from '../storage/sql-errors.ts';
import type { CallerEnv } from './caller.ts';

/** Keys are honoured for a day. */
const KEEP_MS = 24 * 60 * 60 * 1_000;
const SWEEP_MS = 60 * 60 * 1_000;

/** Headers that make a request another one. */
const MEANT = ['content-type', 'if-match'];
/** What HTTP takes as a value, and not too long for an index. */
const KEY = /^[\u0021-\u007e]{1,255}$/;

/** A request with a key, as it is tried. */
export interface Attempt extends Pick<RequestRecord, 'user' | 'key'> {
  /** What is recorded of it when it is answered so. */
  record(answer: StoredAnswer): RequestRecord;
}

/** What was done, and whether it is recorded with what it has changed. */
export interface Done {
  readonly answer: StoredAnswer;
  readonly isRecorded?: boolean;
  /** Nothing was done: another attempt at it is recorded. */
  readonly isRepeated?: boolean;
}

interface OnItsWay {
  readonly fingerprint: string;
  readonly answer: Promise<StoredAnswer>;
}

/** Does what is asked with one `Idempotency-Key` once, and answers the same again. */
export class Idempotency {
  readonly #requests: Requests;
  readonly #isDatabaseThere: () => Promise<boolean>;
  readonly #log: Log;
  /** Those on their way here, by user and key. */
  readonly #onTheirWay = new Map<string, OnItsWay>();
  readonly #stop: () => void;

  constructor(requests: Requests, isDatabaseThere: () => Promise<boolean>, log: Log) {
    this.#requests = requests;
    this.#isDatabaseThere = isDatabaseThere;
    this.#log = log;
    this.#stop = repeat(SWEEP_MS, () => this.#sweep());
  }

  /**
   * @param work - what is asked; to be recorded with what it changes, if it is given an attempt
   * @throws what `work` throws; {@link IndelibleError} `bad_request`, `key_reused`
   */
  async answer(context: Context<CallerEnv>, work: (attempt?: Attempt) => Promise<Done>): Promise<Response> {
    const key = context.req.header('idempotency-key');
    if (key === undefined) return responseOf((await work()).answer);
    if (!KEY.test(key))
      throw new IndelibleError('bad_request', 'an Idempotency-Key has 1 to 255 characters of ASCII');
    const user = context.get('user') ?? '';
    const fingerprint = await fingerprintOf(context);
    const id = idOf({ user, key });
    const known = this.#onTheirWay.get(id);
    if (known !== undefined) return again(known.fingerprint, fingerprint, await known.answer);
    const answer = this.#once({ user, key, fingerprint }, work);
    const forOthers = answer.then((done) => done.answer);
    // It is this one's, whether or not others wait for it.
    forOthers.catch(() => {});
    this.#onTheirWay.set(id, { fingerprint, answer: forOthers });
    try {
      const { answer: given, isAgain } = await answer;
      // What an attempt that failed has said of the document is not what is answered.
      if (isAgain) context.header('ETag', undefined);
      return isAgain ? responseOf(given, AGAIN) : responseOf(given);
    } finally {
      this.#onTheirWay.delete(id);
    }
  }

  async #once(
    request: Pick<RequestRecord, 'user' | 'key' | 'fingerprint'>,
    work: (attempt: Attempt) => Promise<Done>,
  ): Promise<{ answer: StoredAnswer; isAgain: boolean }> {
    if (!(await this.#isDatabaseThere())) throw new IndelibleError('database_unavailable');
    const before = await this.#find(request);
    if (before !== null) return { answer: before, isAgain: true };
    const id = crypto.randomUUID();
    const record = (answer: StoredAnswer) => ({ ...request, attempt: id, answer });
    let done;
    try {
      done = await work({ ...request, record });
    } catch (error) {
      // Another instance may have done it meanwhile, so that it cannot be done any more.
      const other = await this.#find(request).catch(() => null);
      if (other === null) throw error;
      return { answer: other, isAgain: true };
    }
    if (done.isRepeated === true) {
      const other = await this.#find(request);
      if (other === null)
        throw new IndelibleError('internal_error', 'a request is recorded, and is not there');
      return { answer: other, isAgain: true };
    }
    if (done.isRecorded !== true) await this.#save(record(done.answer));
    return { answer: done.answer, isAgain: false };
  }

  async #find(request: Pick<RequestRecord, 'user' | 'key' | 'fingerprint'>): Promise<StoredAnswer | null> {
    const before = await orUnavailable(this.#requests.find(request.user, request.key));
    return before === null ? null : sameRequest(before, request.fingerprint);
  }

  /** What was asked is done, so it is answered so. */
  async #save(request: RequestRecord): Promise<void> {
    try {
      await this.#requests.save(request);
    } catch (error) {
      this.#log.warn({ err: error }, 'a request cannot be recorded');
    }
  }

  close(): void {
    this.#stop();
  }

  async #sweep(): Promise<void> {
    try {
      await this.#requests.forgetOld(KEEP_MS);
    } catch (error) {
      this.#log.debug({ err: error }, 'old requests cannot be forgotten');
    }
  }
}

const AGAIN = { 'Idempotent-Replayed': 'true' };

function again(known: string, fingerprint: string, answer: StoredAnswer): Response {
  return responseOf(sameRequest({ fingerprint: known, answer }, fingerprint), AGAIN);
}

function sameRequest(
  before: { fingerprint: string; answer: StoredAnswer },
  fingerprint: string,
): StoredAnswer {
  if (before.fingerprint !== fingerprint) throw new IndelibleError('key_reused');
  return before.answer;
}

function responseOf({ status, headers, body }: StoredAnswer, more: Record<string, string> = {}): Response {
  return new Response(body, { status, headers: { ...headers, ...more } });
}

/** Of everything that makes it the same request. */
async function fingerprintOf(context: Context): Promise<string> {
  const { pathname, search } = new URL(context.req.url);
  const headers = MEANT.map((name) => context.req.header(name) ?? '');
  const head = new TextEncoder().encode(JSON.stringify([context.req.method, pathname, search, ...headers]));
  const body = new Uint8Array(await context.req.arrayBuffer());
  const all = new Uint8Array(head.byteLength + body.byteLength);
  all.set(head);
  all.set(body, head.byteLength);
  return toBase64(new Uint8Array(await crypto.subtle.digest('SHA-256', all)));
}
