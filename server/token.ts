/** Tokens, for the servers of those who embed this one: `import { createToken } from 'indelible/token'`. */
import { z } from 'zod';
import { ACCESS, type AccessLevel } from './auth/grant.ts';
import { isUserId } from './auth/names.ts';
import { mintToken } from './auth/tokens.ts';

/** Whom a token is for, and what it allows. */
export interface TokenOptions {
  /** JWT_SECRET of the server, at least 32 characters. */
  readonly secret: string;
  /** Id of the user, which the update log names; 1 to 255 bytes without control characters. */
  readonly user: string;
  readonly name?: string | undefined;
  /** Patterns of document names to what may be done with them: `{ 'notes/*': 'write' }`. */
  readonly access: Readonly<Record<string, AccessLevel>>;
  /** Seconds until it expires; an hour when left out. */
  readonly lifetime?: number | undefined;
  /** Where the server asks for them. */
  readonly issuer?: string | undefined;
  readonly audience?: string | undefined;
}

export type { AccessLevel };

const HOUR = 3_600;

const schema = z.strictObject({
  secret: z.string().min(32),
  user: z.string().refine(isUserId, '1 to 255 bytes without control characters'),
  name: z.string().optional(),
  access: z.record(z.string(), z.enum(ACCESS)),
  lifetime: z.number().positive().default(HOUR),
  issuer: z.string().optional(),
  audience: z.string().optional(),
});

/**
 * Mints a token (HS256), as JWT_SECRET asks for.
 * @throws `TypeError` when an option is wrong
 */
export async function createToken(options: TokenOptions): Promise<string> {
  const checked = schema.safeParse(options);
  if (!checked.success) throw new TypeError(z.prettifyError(checked.error));
  const { secret, user: sub, name, access, lifetime, issuer, audience } = checked.data;
  return mintToken(secret, { sub, name, access }, lifetime, { issuer, audience });
}
