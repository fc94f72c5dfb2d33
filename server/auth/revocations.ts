import type { Grant } from './grant.ts';

/** What is taken back: everything of a user, everybody's access to a document, or that of one user to one document. */
export interface RevocationRequest {
  readonly document?: string | undefined;
  readonly user?: string | undefined;
}

/** Whose access was taken back: a user's, everybody's to a document, or a user's to a document. */
export interface Revocation {
  readonly document: string | null;
  readonly user: string | null;
  /** Milliseconds since 1970: tokens issued before are refused. */
  readonly revokedAt: number;
}

/** The revocations that are known to this instance. Operators make them, so there are few. */
export class Revocations {
  readonly #times = new Map<string, number>();

  /** @returns whether it was not known */
  add({ document, user, revokedAt }: Revocation): boolean {
    const key = keyOf(document, user);
    if ((this.#times.get(key) ?? -Infinity) >= revokedAt) return false;
    this.#times.set(key, revokedAt);
    return true;
  }

  /**
   * Whether a grant for a document has been taken back. Tokens say when they were issued in whole seconds, so one that was
   * issued in the second of the revocation counts as issued before.
   */
  cover(document: string, { user, issuedAt }: Grant): boolean {
    if (issuedAt === undefined) return false;
    const times = [keyOf(document, null), keyOf(null, user), keyOf(document, user)];
    return times.some((key) => issuedAt <= (this.#times.get(key) ?? -Infinity));
  }
}

function keyOf(document: string | null, user: string | null): string {
  return JSON.stringify([document, user]);
}
