import type { RunListener } from '../coordinator/events.js';
import { createLogger } from '../shared/log.js';
import type { Announcement, Invocation } from './announcements.js';
import { quietComingAndGoing } from './coming-and-going.js';
import { eventLog } from './event-log.js';
import { TerminalView } from './terminal.js';

/** Where a command shows what happens. */
export interface View {
  readonly onEvent: RunListener;
  /** One line from the command itself. */
  announce(announcement: Announcement): void;
  close(): void;
}

export interface ViewOptions {
  readonly invocation: Invocation | null;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

/** A terminal gets progress lines; a file or pipe gets one JSON line per event. */
export function openView({ invocation, quiet, verbose }: ViewOptions): View {
  if (process.stdout.isTTY) {
    const terminal = new TerminalView({ stream: process.stdout, invocation, quiet });
    return {
      onEvent: quietComingAndGoing(terminal.onEvent),
      announce: (announcement) => terminal.announce(announcement),
      close: () => terminal.close(),
    };
  }
  const logger = createLogger({ level: verbose ? 'debug' : quiet ? 'warn' : 'info' });
  return {
    onEvent: quietComingAndGoing(eventLog(logger)),
    announce: ({ tone, text, fields = {} }) => logger[tone === 'warning' ? 'warn' : 'info'](fields, text),
    close() {},
  };
}
