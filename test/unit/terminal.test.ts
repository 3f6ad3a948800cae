import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { TerminalView } from '../../cli/terminal.js';
import { end, epochBegin, epochEnd, start, step, workers } from './progress-events.js';

describe('TerminalView', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function view({ colours = false, noColor = '', quiet = false } = {}) {
    const written: string[] = [];
    const terminal = new TerminalView({
      stream: { columns: 100, write: (text) => written.push(text), hasColors: () => colours },
      invocation: { job: 'job.ts', options: [] },
      environment: { NO_COLOR: noColor },
      quiet,
    });
    return { terminal, written };
  }

  it('redraws at most ten times a second', () => {
    const { terminal, written } = view();
    terminal.onEvent(workers);
    terminal.onEvent(epochBegin(5000));
    for (let batch = 0; batch < 1000; batch++) {
      vi.advanceTimersByTime(1);
      terminal.onEvent(step(batch));
    }
    const drawn = written.filter((text) => text.includes('/5000'));
    expect(drawn.length).toBeGreaterThanOrEqual(9);
    expect(drawn.length).toBeLessThanOrEqual(11);
    terminal.close();
  });

  it('keeps the clock moving while no step ends', () => {
    const { terminal, written } = view();
    terminal.onEvent(epochBegin(10));
    vi.advanceTimersByTime(3500);
    expect(written.join('')).toContain(' 3s · ');
    terminal.close();
  });

  it('prints what stays above the line, on a cleared line, and leaves nothing behind', () => {
    const { terminal, written } = view();
    terminal.onEvent(epochBegin(10));
    vi.advanceTimersByTime(200);
    written.length = 0;
    terminal.onEvent({ type: 'warning', message: 'mind the gap' });
    expect(written.slice(0, 2)).toEqual(['\r\u001b[2K', 'warning: mind the gap\n']);
    vi.advanceTimersByTime(200);
    terminal.close();
    expect(written.at(-1)).toBe('\r\u001b[2K');
    written.length = 0;
    vi.advanceTimersByTime(5000);
    expect(written).toEqual([]);
  });

  it('names what the run decided in the line that repeats it', () => {
    const { terminal, written } = view();
    terminal.onEvent(workers);
    terminal.onEvent(start);
    expect(written).toContain('same bits again: lockstep train job.ts --seed 7 --shards 4 --backend wasm\n');
    terminal.close();
  });

  it('colours where the terminal can and NO_COLOR is not set', () => {
    const heading = (options: { colours?: boolean; noColor?: string }): string => {
      const { terminal, written } = view(options);
      terminal.onEvent(epochBegin(10));
      terminal.close();
      return written[0];
    };
    expect(heading({ colours: true })).toBe('\u001b[1mEpoch 2/10\u001b[22m\n');
    expect(heading({ colours: true, noColor: '1' })).toBe('Epoch 2/10\n');
    expect(heading({})).toBe('Epoch 2/10\n');
  });

  it('shows warnings and the end only when it is to be quiet', () => {
    const { terminal, written } = view({ quiet: true });
    for (const event of [start, workers, epochBegin(10), step(0), epochEnd]) terminal.onEvent(event);
    vi.advanceTimersByTime(2000);
    expect(written).toEqual([]);
    terminal.onEvent({ type: 'warning', message: 'mind' });
    terminal.onEvent(end);
    expect(written).toHaveLength(2);
    terminal.close();
  });
});
