import { SignJWT, jwtVerify } from 'jose';
import { z } from 'zod';
import { IndelibleError, messageOf } from '../errors.ts';
import { accessTo, type Authorize } from './grant.ts';
import { isUserId } from './names.ts';

/** Clocks of issuer and server may differ by this much. */
const CLOCK_TOLERANCE_SECONDS = 60;

const claimsSchema = z.object({
  sub: z.string().refine(isUserId, 'sub is 1 to 255 bytes without control characters'),
  name: z.string().optional(),
  access: z.record(z.string(), z.enum(['read', 'write'])).default({}),
});

/** What a token says. */
export interface TokenClaims {
  /** Id of the user. */
  readonly sub: string;
  readonly name?: string | undefined;
  /** Patterns of document names to what may be done with them, e.g. `{ "notes/*": "write" }`. */
  readonly access: Readonly<Record<string, 'read' | 'write'>>;
}

/** Access by JSON Web Tokens (HS256) signed with `secret`. `exp` and `sub` are required. */
export function authorizeByToken(secret: string): Authorize {
  const key = new TextEncoder().encode(secret);
  return async ({ token, document }) => {
    if (token === null || token === '') throw new IndelibleError('unauthorized', 'no token');
    const claims = await verify(token, key);
    const access = accessTo(document, claims.access);
    if (access === null) throw new IndelibleError('forbidden');
    return { user: claims.sub, access };
  };
}

async function verify(token: string, key: Uint8Array): Promise<TokenClaims> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: ['HS256'],
      requiredClaims: ['exp', 'sub'],
      clockTolerance: CLOCK_TOLERANCE_SECONDS,
    });
    return claimsSchema.parse(payload);
  } catch (error) {
    throw new IndelibleError('unauthorized', messageOf(error), { cause: error });
  }
}

/**
 * Mints a token.
 * @param lifetime - seconds until it expires
 */
export function mintToken(secret: string, claims: TokenClaims, lifetime: number): Promise<string> {
  const { sub, name, access } = claims;
  return new SignJWT({ access, ...(name === undefined ? {} : { name }) })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(sub)
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + lifetime)
    .sign(new TextEncoder().encode(secret));
}
