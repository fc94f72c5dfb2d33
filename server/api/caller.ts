import type { Context } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import { every } from 'hono/combine';
import { createMiddleware } from 'hono/factory';
import type { Access } from '../auth/access.ts';
import { EVERY_DOCUMENT, NotThisDocument, includes, type AccessLevel, type Grant } from '../auth/grant.ts';
import { documentNameOf } from '../auth/names.ts';
import { bearerOf } from '../auth/tokens.ts';
import { IndelibleError } from '../errors.ts';
import type { Limits } from '../limits.ts';

/** What a request is about, and who makes it. */
export interface CallerEnv {
  Variables: {
    /** Of the document in the path. */
    name: string;
    /** `null` when nobody was asked. */
    user: string | null;
    /** To that document. */
    access: AccessLevel;
  };
}

/** Who makes requests, and what they may do. */
export class Callers {
  readonly #access: Access;
  readonly #limits: Limits;
  readonly #limitBytes: number;

  /** @param limitBytes - of a body */
  constructor(access: Access, limits: Limits, limitBytes: number) {
    this.#access = access;
    this.#limits = limits;
    this.#limitBytes = limitBytes;
  }

  /** Lets through who may do this to the document in the path, before anything of the body is read. */
  may(needed: AccessLevel) {
    return createMiddleware<CallerEnv>(async (context, next) => {
      const name = documentNameOf(nameSegmentOf(context.req.url));
      if (name === null) throw new IndelibleError('bad_name');
      const { user, access } = await this.demand(context, name, needed);
      context.set('name', name);
      context.set('user', user);
      this.#count(context, saidLengthOf(context) ?? 0);
      context.set('access', access);
      await next();
    });
  }

  /** Lets everybody through who has a token that is valid, whatever it allows. */
  isKnown() {
    return createMiddleware<CallerEnv>(async (context, next) => {
      context.set('user', await this.#userOf(context));
      this.#count(context, saidLengthOf(context) ?? 0);
      await next();
    });
  }

  /** Reads a body, unless it is too large; to come after {@link may} or {@link isKnown}. */
  hasBody() {
    const limit = bodyLimit({
      maxSize: this.#limitBytes,
      onError: (context) => {
        if (saidLengthOf(context) === null)
          this.#limits.bytes((context as Context<CallerEnv>).get('user'), this.#limitBytes);
        throw new IndelibleError('body_too_large');
      },
    });
    return every(
      limit,
      createMiddleware<CallerEnv>(async (context, next) => {
        // One that comes in pieces shows its length when it is there. It is no request of its own.
        if (saidLengthOf(context) === null && context.req.raw.body !== null)
          this.#limits.bytes(context.get('user'), (await context.req.arrayBuffer()).byteLength);
        await next();
      }),
    );
  }

  async #userOf(context: Context): Promise<string | null> {
    try {
      return (await this.#access.decide({ document: EVERY_DOCUMENT, token: tokenOf(context) })).user;
    } catch (error) {
      if (error instanceof NotThisDocument) return error.user;
      // Of who is refused by a program no more is known than the token.
      if (error instanceof IndelibleError && error.code === 'forbidden') return tokenOf(context);
      throw error;
    }
  }

  /**
   * @throws {@link IndelibleError} why this may not be done to a document
   */
  async demand(context: Context, name: string, needed: AccessLevel): Promise<Grant> {
    const grant = await this.#access.decide({ document: name, token: tokenOf(context) });
    if (includes(grant.access, needed)) return grant;
    if (needed === 'write') throw new IndelibleError('read_only');
    throw new IndelibleError('forbidden', `that needs ${needed}`);
  }

  /** @throws {@link IndelibleError} when the token is not valid */
  async mayRead(context: Context, name: string): Promise<boolean> {
    try {
      await this.#access.decide({ document: name, token: tokenOf(context) });
      return true;
    } catch (error) {
      if (error instanceof IndelibleError && (error.code === 'forbidden' || error.code === 'revoked'))
        return false;
      throw error;
    }
  }

  /** @param bytes - what a body is said to have, of which no more is read than the limit */
  #count(context: Context<CallerEnv>, bytes: number): void {
    this.#limits.request(context.get('user'), Math.min(bytes, this.#limitBytes));
  }
}

/** What a body is said to have, in bytes; `null` when that is not said. */
function saidLengthOf(context: Context): number | null {
  const length = context.req.header('content-length');
  return length === undefined ? null : Math.max(Number(length) || 0, 0);
}

function tokenOf(context: Context): string | null {
  return bearerOf(context.req.header('authorization'));
}

/**
 * The third segment of the path, as it was sent: the router decodes what it can and leaves the rest, so that no name could be told
 * from its encoding.
 */
function nameSegmentOf(url: string): string {
  const [path = ''] = url.replace(/^[a-z]+:\/\/[^/]*/i, '').split(/[?#]/, 1);
  return `/${path.split('/')[3] ?? ''}`;
}
