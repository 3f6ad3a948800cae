import { type DestinationStream, type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger } from 'pino';

/** Fields that never reach a log, at the top of an entry or one level below. */
const secrets = ['token', 'password', 'secret', 'authorization', 'key'];

/**
 * Writes one JSON line per entry: `level`, `time` (ISO 8601), `pid`, `hostname`, `msg` and the entry's own fields.
 * Synchronous, so that nothing is lost when the process ends.
 * @param destination default: standard output
 */
export function createLogger({
  level = 'info',
  destination = pino.destination({ fd: 1, sync: true }),
}: {
  level?: 'debug' | 'info' | 'warn';
  destination?: DestinationStream;
} = {}): Logger {
  return pino(
    {
      level,
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths: secrets.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
    },
    destination,
  );
}
