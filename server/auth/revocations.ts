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
  readonly #known = new Map<string, { readonly revokedAt: number; readonly number: number }>();
  #count = 0;

  /** How many have become known. */
  get count(): number {
    return this.#count;
  }

  /** @returns whether it was not known */
  add({ document, user, revokedAt }: Revocation): boolean {
    const key = keyOf(document, user);
    if ((this.#known.get(key)?.revokedAt ?? -Infinity) >= revokedAt) return false;
    this.#count += 1;
    this.#known.set(key, { revokedAt, number: this.#count });
    return true;
  }

  /**
   * Whether a grant for a document has been taken back. Tokens say when they were issued in whole seconds, so one that was
   * issued in the second of the revocation counts as issued before.
   * @param known - how many revocations were known when it was given: it decides where a grant does not say when it was
   * issued
   */
  cover(document: string, { user, issuedAt }: Grant, known: number): boolean {
    return [keyOf(document, null), keyOf(null, user), keyOf(document, user)].some((key) => {
      const revocation = this.#known.get(key);
      if (revocation === undefined) return false;
      return issuedAt === undefined ? revocation.number > known : issuedAt <= revocation.revokedAt;
    });
  }
}

function keyOf(document: string | null, user: string | null): string {
  return JSON.stringify([document, user]);
}
