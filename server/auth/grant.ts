import { IndelibleError } from '../errors.ts';
import { isUserId } from './names.ts';

/** From the least to the most: `admin` also deletes, renames and revokes. Each includes those before it. */
export const ACCESS = ['read', 'write', 'admin'] as const;
export type AccessLevel = (typeof ACCESS)[number];

/** Whether an access includes another one. */
export function includes(access: AccessLevel, needed: AccessLevel): boolean {
  return ACCESS.indexOf(access) >= ACCESS.indexOf(needed);
}

/**
 * Who may do something to this document may do it to all: no pattern matches a name of so many segments, but one with `**`. (An
 * {@link Authorize} of a program is asked about it where a user is revoked everywhere.)
 */
export const EVERY_DOCUMENT = Array.from({ length: 64 }, () => '*').join('/');

/** The token is valid, and does not allow this document. */
export class NotThisDocument extends IndelibleError {
  readonly user: string;

  /** @param user - whose token it is */
  constructor(user: string) {
    super('forbidden');
    this.user = user;
  }
}

/** Who somebody is and what they may do with one document. */
export interface Grant {
  /** The `sub` of the token; recorded with every update. `null` when nobody was asked. */
  readonly user: string | null;
  readonly access: AccessLevel;
  /** When it ends, in milliseconds since 1970; never when left out. */
  readonly expiresAt?: number | undefined;
  /**
   * When what it rests on was issued, in milliseconds since 1970: a revocation that is not older refuses it. When left
   * out, a revocation closes the socket, and whoever comes back is judged anew.
   */
  readonly issuedAt?: number | undefined;
}

/** What is asked at every door: may the bearer of this token open this document? */
export interface AccessRequest {
  readonly token: string | null;
  readonly document: string;
}

/**
 * Decides about access.
 * @throws {@link IndelibleError} `unauthorized` (no or bad token) or `forbidden` (not this document); anything else says
 * that access cannot be checked for now, and clients try again
 */
export type Authorize = (request: AccessRequest) => Grant | Promise<Grant>;

/**
 * Access as a program decides it. What it throws besides {@link IndelibleError} is a failure of its own (its key server
 * is down, say), which must not look like a refusal: clients stop trying after one.
 * @param onFailure - told what it threw
 */
export function authorizeByProgram(decide: Authorize, onFailure: (error: unknown) => void): Authorize {
  return async (request) => {
    try {
      const grant = await decide(request);
      if (!isGrant(grant))
        throw new TypeError("auth must give { user, access: 'read' | 'write' | 'admin' }, or throw");
      return grant;
    } catch (error) {
      if (error instanceof IndelibleError) throw error;
      onFailure(error);
      throw new IndelibleError('auth_unavailable', undefined, { cause: error });
    }
  };
}

/** Programs need not be checked by TypeScript. */
function isGrant(grant: Partial<Grant> | null | undefined): boolean {
  if (grant?.access === undefined || !ACCESS.includes(grant.access)) return false;
  if (![grant.expiresAt, grant.issuedAt].every((time) => time === undefined || Number.isFinite(time)))
    return false;
  return grant.user === null || (typeof grant.user === 'string' && isUserId(grant.user));
}

/** Without a key everybody may do everything. */
export const allowEverybody: Authorize = () => ({ user: null, access: 'admin' });

/**
 * Whether a pattern matches a document name, segment by segment: `*` stands for one segment, `**` for any number.
 * `notes/*` matches `notes/today`, not `notes/today/draft`.
 */
function matchesPattern(pattern: string, name: string): boolean {
  return matchSegments(pattern.split('/'), name.split('/'));
}

function matchSegments(pattern: readonly string[], name: readonly string[]): boolean {
  // Dynamic programming over the pattern, so that many `**` cannot make it exponential.
  let reachable = new Set([0]);
  for (const segment of pattern) {
    const next = new Set<number>();
    for (const at of reachable) {
      if (segment === '**') for (let end = at; end <= name.length; end += 1) next.add(end);
      else if (at < name.length && (segment === '*' || segment === name[at])) next.add(at + 1);
    }
    reachable = next;
  }
  return reachable.has(name.length);
}

/** The highest access that any matching pattern gives; `null` when none matches. */
export function accessTo(
  document: string,
  access: Readonly<Record<string, AccessLevel>>,
): AccessLevel | null {
  const granted = Object.entries(access).filter(([pattern]) => matchesPattern(pattern, document));
  const levels = new Set(granted.map(([, level]) => level));
  return ACCESS.findLast((level) => levels.has(level)) ?? null;
}
