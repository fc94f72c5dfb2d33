import type { Context } from 'hono';
import { createMiddleware } from 'hono/factory';
import type { Access } from '../auth/access.ts';
import { EVERY_DOCUMENT, includes, type AccessLevel, type Grant } from '../auth/grant.ts';
import { documentNameOf } from '../auth/names.ts';
import { bearerOf } from '../auth/tokens.ts';
import { IndelibleError, type ErrorCode } from '../errors.ts';
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
      this.#count(context, user);
      context.set('name', name);
      context.set('user', user);
      context.set('access', access);
      await next();
    });
  }

  /** Lets everybody through who has a token that is valid, whatever it allows. */
  isKnown() {
    return createMiddleware<CallerEnv>(async (context, next) => {
      const grant = await this.#grantFor(context, EVERY_DOCUMENT, ['forbidden']);
      // Of a token that does not allow everything no more is known than what it is.
      this.#count(context, grant === null ? tokenOf(context) : grant.user);
      await next();
    });
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
    return (await this.#grantFor(context, name, ['forbidden', 'revoked'])) !== null;
  }

  async #grantFor(context: Context, name: string, refusals: readonly ErrorCode[]): Promise<Grant | null> {
    try {
      return await this.#access.decide({ document: name, token: tokenOf(context) });
    } catch (error) {
      if (error instanceof IndelibleError && refusals.includes(error.code)) return null;
      throw error;
    }
  }

  /** What a body is said to have, but for what is refused without being read. */
  #count(context: Context, user: string | null): void {
    const bytes = Number(context.req.header('content-length') ?? 0) || 0;
    this.#limits.request(user, Math.min(Math.max(bytes, 0), this.#limitBytes));
  }
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
