/** Who has not touched the page for this long is idle, in ms; who looks at something else is at once. */
const patience = 30_000;

/** Tells when the person in front of this page becomes idle, and when they are back. */
export function watchActivity(onChange: (isIdle: boolean) => void): void {
  let isIdle = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const become = (idle: boolean): void => {
    clearTimeout(timer);
    if (!idle) timer = setTimeout(() => become(true), patience);
    if (idle === isIdle) return;
    isIdle = idle;
    onChange(idle);
  };
  const active = (): void => become(false);
  for (const event of ['keydown', 'pointerdown', 'pointermove', 'wheel', 'focus']) {
    window.addEventListener(event, active, { passive: true });
  }
  document.addEventListener('visibilitychange', () => become(document.visibilityState === 'hidden'));
  active();
}
