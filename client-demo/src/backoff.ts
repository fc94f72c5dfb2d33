/** The first attempt to connect again comes within this time, each further one within twice as much, in ms. */
const first = 5_000;
const longest = 15_000;
const shortest = 200;

/**
 * How long to wait before the next attempt to connect, in ms. Any time up to the limit is as likely as another: when
 * a server comes back, ten thousand pages must not be there within a second.
 * @param failures - attempts that failed since the line was last open
 */
export function retryDelay(failures: number, random = Math.random): number {
  const limit = Math.min(longest, first * 2 ** failures);
  return shortest + random() * (limit - shortest);
}
