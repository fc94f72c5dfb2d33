import { crc32 } from 'node:zlib';

/** CRC-32 as the signed integer that a Postgres `integer` holds. */
export function checksumOf(bytes: Uint8Array): number {
  return crc32(bytes) | 0;
}
