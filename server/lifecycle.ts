/** How a bounded wait ended. */
export type Outcome = 'done' | 'late';

/**
 * Waits for work, but no longer than `ms`, and not after `signal`. The work itself goes on; its failure counts as late.
 * @param ms - milliseconds
 */
export async function withDeadline(
  work: Promise<unknown>,
  ms: number,
  signal?: AbortSignal,
): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Outcome>((resolve) => {
    timer = setTimeout(() => resolve('late'), ms);
    if (signal?.aborted === true) resolve('late');
    signal?.addEventListener('abort', () => resolve('late'), { once: true });
  });
  const done = work.then(
    (): Outcome => 'done',
    (): Outcome => 'late',
  );
  try {
    return await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Calls `each` for every item, spread evenly over `ms` milliseconds, so that what they cause does not come all at once.
 */
export async function stagger<T>(items: readonly T[], ms: number, each: (item: T) => void): Promise<void> {
  const steps = Math.max(1, Math.min(items.length, Math.floor(ms / STAGGER_STEP_MS)));
  let done = 0;
  for (let step = 1; step <= steps; step += 1) {
    const until = Math.ceil((items.length * step) / steps);
    for (const item of items.slice(done, until)) each(item);
    done = until;
    if (step < steps) await new Promise((resolve) => setTimeout(resolve, ms / steps));
  }
}

const STAGGER_STEP_MS = 50;

/**
 * Calls `work` again and again, each time so long after the last one has ended. Keeps no process alive.
 * @param work - must not reject
 * @returns what ends it
 */
export function repeat(ms: number, work: () => Promise<void>): () => void {
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const goOn = () => {
    if (isOver) return;
    timer = setTimeout(() => void work().then(goOn), ms).unref();
  };
  goOn();
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}

/** Resolves in the next turn of the event loop, when what has arrived meanwhile is handled. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
