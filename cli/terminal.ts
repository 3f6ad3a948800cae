import type { RunEvent } from '../coordinator/events.js';
import { type Announcement, announcementsOf, type Invocation, reproduction } from './announcements.js';
import { advance, noProgress, type Progress, progressLine } from './progress.js';

/** What the writer needs of a terminal: `process.stdout`, or a test's. */
export interface TerminalStream {
  readonly columns?: number;
  write(text: string): unknown;
  hasColors?(): boolean;
}

/** SGR codes that switch a style on and off. */
const styles = { plain: null, heading: [1, 22], dim: [2, 22], good: [32, 39], warning: [33, 39] } as const;

const redrawMs = 100;
/** The elapsed time moves even when no step ends. */
const tickMs = 1000;

/** Draws a run: lines that stay, and below them one line that is redrawn at most ten times a second. */
export class TerminalView {
  readonly #stream: TerminalStream;
  readonly #invocation: Invocation | null;
  readonly #nowMs: () => number;
  readonly #colours: boolean;
  readonly #quiet: boolean;
  readonly #timer: NodeJS.Timeout;
  #progress: Progress = noProgress;
  #backend: string | null = null;
  #again: string | null = null;
  #drawn = '';
  #stale = false;
  #drawnMs = Number.NEGATIVE_INFINITY;

  /**
   * @param invocation how the run was started, or null where nobody could repeat it by a command
   * @param quiet leaves out everything but warnings and the end
   */
  constructor({
    stream,
    invocation,
    quiet = false,
    environment = process.env,
    nowMs = () => performance.now(),
  }: {
    stream: TerminalStream;
    invocation: Invocation | null;
    quiet?: boolean;
    environment?: Readonly<Record<string, string | undefined>>;
    nowMs?: () => number;
  }) {
    this.#stream = stream;
    this.#invocation = invocation;
    this.#quiet = quiet;
    this.#nowMs = nowMs;
    this.#colours = (environment.NO_COLOR ?? '') === '' && stream.hasColors?.() === true;
    this.#timer = setInterval(() => this.#redraw(), redrawMs).unref();
  }

  readonly onEvent = (event: RunEvent): void => {
    if (event.type === 'workers') this.#backend = event.workers.at(0)?.backend ?? null;
    if (event.type === 'start' && this.#invocation !== null) {
      this.#again = reproduction(this.#invocation, { ...event, backend: this.#backend });
    }
    for (const announcement of announcementsOf(event, this.#progress, this.#again)) {
      this.announce(announcement);
    }
    this.#progress = advance(this.#progress, event, this.#nowMs());
    this.#stale = true;
    if (this.#nowMs() - this.#drawnMs >= redrawMs) this.#redraw();
  };

  /** Prints a line that stays, above the progress line. */
  announce({ tone, text }: Announcement): void {
    if (this.#quiet && tone !== 'warning' && tone !== 'good') return;
    this.#clear();
    const style = styles[tone];
    const styled = style === null ? text : `\u001b[${style[0]}m${text}\u001b[${style[1]}m`;
    this.#stream.write(`${this.#colours ? styled : text}\n`);
    this.#stale = true;
  }

  /** Removes the progress line and stops redrawing. */
  close(): void {
    clearInterval(this.#timer);
    this.#clear();
  }

  #redraw(): void {
    if (this.#quiet) return;
    const nowMs = this.#nowMs();
    if (!this.#stale && nowMs - this.#drawnMs < tickMs) return;
    const line = progressLine(this.#progress, nowMs, this.#stream.columns ?? 80);
    if (line !== this.#drawn) {
      this.#clear();
      this.#stream.write(line);
      this.#drawn = line;
    }
    this.#stale = false;
    this.#drawnMs = nowMs;
  }

  #clear(): void {
    if (this.#drawn === '') return;
    this.#stream.write('\r\u001b[2K');
    this.#drawn = '';
  }
}
