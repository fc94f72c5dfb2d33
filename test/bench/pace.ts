const TICK_MS = 2;

/**
 * Has each do its work so many times a second, one after the other, by the clock: however long others take.
 * @returns by how many milliseconds the work was late, each time that there was some
 */
export async function pace(
  workers: ReadonlyArray<() => void>,
  perSecond: number,
  seconds: number,
): Promise<number[]> {
  const late: number[] = [];
  const since = performance.now();
  const rate = perSecond * workers.length;
  const all = Math.round(rate * seconds);
  for (let done = 0; done < all; await tick()) {
    const elapsed = performance.now() - since;
    const due = Math.min(all, (elapsed / 1000) * rate);
    if (done < due) late.push(elapsed - (done / rate) * 1000);
    for (; done < due; done += 1) workers[done % workers.length]?.();
  }
  return late;
}

function tick(): Promise<unknown> {
  return new Promise((resolve) => setTimeout(resolve, TICK_MS));
}
