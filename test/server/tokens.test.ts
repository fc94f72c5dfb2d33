import { beforeAll, describe, expect, test } from 'vitest';
import { startServer } from '../helpers/server.ts';
import { type Claims, SECRET, askAccess, inSeconds, mint } from '../helpers/tokens.ts';

const ISSUER = 'https://login.example';
const AUDIENCE = 'https://docs.example';

/** The answers to a token of whoever may write, if it says so much beside. */
function answersTo(url: string, claims: Claims): Promise<string> {
  return mint(claims).then((token) => askAccess(url, 'notes/today', token));
}

describe('issuer and audience', () => {
  let strict: string;
  let lax: string;
  beforeAll(async () => {
    const options = { jwtSecret: SECRET, jwtIssuer: ISSUER, jwtAudience: AUDIENCE };
    [{ url: strict }, { url: lax }] = await Promise.all([
      startServer(options),
      startServer({ jwtSecret: SECRET }),
    ]);
  });

  test.each<[what: string, claims: Claims, answer: string]>([
    ['both', { iss: ISSUER, aud: AUDIENCE }, '200 write'],
    ['one of several audiences', { iss: ISSUER, aud: ['https://other.example', AUDIENCE] }, '200 write'],
    ['another issuer', { iss: 'https://evil.example', aud: AUDIENCE }, '401 unauthorized'],
    ['an issuer that only begins so', { iss: `${ISSUER}.evil.example`, aud: AUDIENCE }, '401 unauthorized'],
    ['no issuer', { aud: AUDIENCE }, '401 unauthorized'],
    ['another audience', { iss: ISSUER, aud: 'https://other.example' }, '401 unauthorized'],
    ['no audience', { iss: ISSUER }, '401 unauthorized'],
    ['neither', {}, '401 unauthorized'],
  ])(
    '[K3] that are set: a token with %s gets %3$s; where none are set, it is let in',
    async (_what, claims, answer) => {
      expect(await answersTo(strict, claims)).toBe(answer);
      expect(await answersTo(lax, claims)).toBe('200 write');
    },
  );
});

describe('the times and the user of a token', () => {
  let url: string;
  beforeAll(async () => {
    ({ url } = await startServer({ jwtSecret: SECRET }));
  });

  // Clocks may differ by 60 s. Some seconds are left for a machine that is slow.
  test.each<[what: string, claims: () => Claims, answer: string]>([
    ['ended 50 s ago', () => ({ exp: inSeconds(-50) }), '200 write'],
    ['ended 61 s ago', () => ({ exp: inSeconds(-61) }), '401 token_expired'],
    ['begins in 50 s', () => ({ nbf: inSeconds(50) }), '200 write'],
    ['begins in 70 s', () => ({ nbf: inSeconds(70), exp: inSeconds(600) }), '401 unauthorized'],
    ['was issued in 50 s', () => ({ iat: inSeconds(50) }), '200 write'],
    ['was issued in 70 s', () => ({ iat: inSeconds(70), exp: inSeconds(600) }), '401 unauthorized'],
    ['does not say when it was issued', () => ({ iat: undefined }), '200 write'],
    ['lasts for ever', () => ({ exp: Number.MAX_SAFE_INTEGER }), '200 write'],
    ['ends at no time', () => ({ exp: '2100-01-01' as unknown as number }), '401 unauthorized'],
    ['has no end', () => ({ exp: undefined }), '401 unauthorized'],
    ['is for nobody', () => ({ sub: undefined }), '401 unauthorized'],
    ['is for an empty user', () => ({ sub: '' }), '401 unauthorized'],
    ['is for a user with a line break', () => ({ sub: 'anna\nroot' }), '401 unauthorized'],
    ['is for a user of 255 bytes', () => ({ sub: 'a'.repeat(255) }), '200 write'],
    ['is for a user of 256 bytes', () => ({ sub: 'a'.repeat(256) }), '401 unauthorized'],
    ['gives access of no kind', () => ({ access: { '**': 'admin' } }), '401 unauthorized'],
    ['gives access in a list', () => ({ access: ['**'] }), '401 unauthorized'],
    ['gives no access', () => ({ access: undefined }), '403 forbidden'],
  ])('[K3] one that %s gets %3$s', async (_what, claims, answer) => {
    expect(await answersTo(url, claims())).toBe(answer);
  });
});
