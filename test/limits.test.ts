import { afterEach, describe, expect, test, vi } from 'vitest';
import { Limits, type LimitOptions } from '../server/limits.ts';

const PLENTY = { frames: 1_000, bytes: 1_000_000 };
const OPTIONS: LimitOptions = {
  connections: 3,
  connectionsPerAddress: 2,
  connectionsPerDocument: 2,
  socket: PLENTY,
  user: PLENTY,
};

const stopClock = () => vi.useFakeTimers({ toFake: ['performance'] });

const limits = (options: Partial<LimitOptions> = {}) => new Limits({ ...OPTIONS, ...options });

describe('counting sockets', () => {
  test('[Q1] above the limit nobody is admitted, until somebody leaves', () => {
    const counts = limits();
    const leave = counts.admit('a');
    counts.admit('a');
    expect(() => counts.admit('a')).toThrow(/from this address/);
    counts.admit('b');
    expect(() => counts.admit('c')).toThrow(/too many sockets/);
    leave();
    expect(() => counts.admit('c')).not.toThrow();
  });

  test('[Q1] leaving twice counts once', () => {
    const counts = limits();
    const leave = counts.admit('a');
    counts.admit('a');
    leave();
    leave();
    counts.admit('a');
    expect(() => counts.admit('a')).toThrow(/from this address/);
  });

  test('[Q1] addresses are not counted when their limit is 0', () => {
    const counts = limits({ connectionsPerAddress: 0 });
    expect(() => {
      for (let socket = 0; socket < 3; socket += 1) counts.admit('a');
    }).not.toThrow();
  });

  test('[Q2] each document is counted by itself', () => {
    const counts = limits();
    const leave = counts.join('one');
    counts.join('one');
    counts.join('two');
    expect(() => counts.join('one')).toThrow(/too many people/);
    expect(() => counts.checkRoom('one')).toThrow(/too many people/);
    leave();
    counts.checkRoom('one');
    counts.join('one');
  });
});

describe('metering', () => {
  afterEach(() => vi.useRealTimers());

  test('[Q4] frames above the burst rest as long as the rate needs to make up for them', () => {
    stopClock();
    const meter = limits({ socket: { frames: 10, bytes: 1e9 } }).meter();
    const burst = Array.from({ length: 100 }, () => meter.charge(1));
    expect(burst.every((rest) => rest === 0)).toBe(true);
    expect(meter.charge(1)).toBe(100);
    expect(meter.charge(1)).toBe(200);
    vi.advanceTimersByTime(200);
    expect(meter.charge(1)).toBe(100);
    vi.advanceTimersByTime(60_000);
    expect(meter.charge(1)).toBe(0);
  });

  test('[Q4] so do bytes', () => {
    stopClock();
    const meter = limits({ socket: { frames: 1e9, bytes: 1_000 } }).meter();
    expect(meter.charge(10_000)).toBe(0);
    expect(meter.charge(500)).toBe(500);
  });

  test('[Q4] the sockets of one user share a rate, and it is forgotten with the last of them', () => {
    stopClock();
    const counts = limits({ user: { frames: 10, bytes: 1e9 } });
    const [one, two, other] = [counts.meter(), counts.meter(), counts.meter()];
    one.countFor('anna');
    two.countFor('anna');
    other.countFor('bert');
    for (let frame = 0; frame < 60; frame += 1) one.charge(1);
    for (let frame = 0; frame < 40; frame += 1) expect(two.charge(1)).toBe(0);
    expect(two.charge(1)).toBe(100);
    expect(other.charge(1)).toBe(0);
    one.release();
    expect(two.charge(1)).toBe(200);
    two.release();
    const again = counts.meter();
    again.countFor('anna');
    expect(again.charge(1)).toBe(0);
  });
});
