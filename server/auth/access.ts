import { IndelibleError } from '../errors.ts';
import type { Authorize, AccessRequest, Grant } from './grant.ts';
import { isDocumentName } from './names.ts';
import type { Revocations } from './revocations.ts';

/** A grant, and which revocations were known when it was given. */
export interface Decision extends Grant {
  readonly revocations: number;
}

/** The one place that decides about access, whichever the door. */
export class Access {
  readonly #authorize: Authorize;
  readonly #revocations: Revocations;

  constructor(authorize: Authorize, revocations: Revocations) {
    this.#authorize = authorize;
    this.#revocations = revocations;
  }

  /**
   * What the bearer of a token may do with a document.
   * @throws {@link IndelibleError} `bad_name`, `unauthorized`, `token_expired`, `forbidden`, `revoked`, `auth_unavailable`
   */
  async decide(request: AccessRequest): Promise<Decision> {
    if (!isDocumentName(request.document)) throw new IndelibleError('bad_name');
    const { count } = this.#revocations;
    const decision = { ...(await this.#authorize(request)), revocations: count };
    if (this.isRevoked(request.document, decision)) throw new IndelibleError('revoked');
    return decision;
  }

  /** Whether a grant has been taken back since it was given. */
  isRevoked(document: string, decision: Decision): boolean {
    return this.#revocations.cover(document, decision, decision.revocations);
  }
}
