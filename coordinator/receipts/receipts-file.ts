import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { messageOf } from '../../shared/errors.js';
import { errnoOf } from '../checkpoint/disk.js';

/** The file operations it needs; a port, so that tests can make them fail. */
export interface AppendableFile {
  /** May write less than asked for. */
  write(bytes: Buffer, offset: number, length: number, position: number): Promise<{ bytesWritten: number }>;
  truncate(bytes: number): Promise<void>;
  datasync(): Promise<void>;
  close(): Promise<void>;
}

/** Opens for writing, and makes the file if there is none; what it holds stays. */
export const openFile = (path: string): Promise<AppendableFile> =>
  open(path, constants.O_RDWR | constants.O_CREAT, 0o666);

export interface ReceiptsFileOptions {
  readonly path: string;
  /** Bytes of an earlier start that stay; the rest is cut off when the first line comes. */
  readonly keepBytes: number;
  readonly onWarning: (message: string) => void;
  /** Asked before lines are written: false ends the file, which is another coordinator's by now. */
  readonly mayWrite?: () => Promise<boolean>;
  readonly openFile?: (path: string) => Promise<AppendableFile>;
}

/** Lines are written together: after so long, or as soon as there are so many bytes. */
const delayMs = 1_000;
const batchBytes = 64 * 1_024;
/** What waits for a disk that takes nothing: so much, or as many lines as this if those are longer. */
const maxWaitingBytes = 8 * 1_024 * 1_024;
const waitingLines = 4;

/**
 * A file that grows line by line, off the step's path. A disk that takes nothing is warned of once and tried again
 * with the next lines; what was written in part is written again at the same place.
 */
export class ReceiptsFile {
  readonly path: string;
  readonly #options: ReceiptsFileOptions;
  #handle: AppendableFile | null = null;
  #position: number;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #running: Promise<void> | null = null;
  #hasWarned = false;
  #hasEnded = false;

  constructor(options: ReceiptsFileOptions) {
    this.path = options.path;
    this.#options = options;
    this.#position = options.keepBytes;
  }

  append(text: string): void {
    if (this.#hasEnded) return;
    const bytes = Buffer.from(text);
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
    if (this.#waitingBytes > Math.max(maxWaitingBytes, waitingLines * bytes.length)) return this.#end();
    if (this.#waitingBytes >= batchBytes) void this.#write();
    else this.#timer ??= setTimeout(() => void this.#write(), delayMs).unref();
  }

  /** Waits until all lines are on disk, or could not be written; never rejects for a disk that fails. */
  async flush(): Promise<void> {
    await this.#running;
    await this.#write();
    await this.#attempt(async () => this.#handle?.datasync());
  }

  async close(): Promise<void> {
    await this.flush();
    this.#hasEnded = true;
    await this.#attempt(async () => this.#handle?.close());
    this.#handle = null;
  }

  #write(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#running ??= this.#attempt(() => this.#writeAll()).finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      if ((await this.#options.mayWrite?.()) === false) return this.#drop();
      this.#handle ??= await this.#open();
      const taken = this.#waiting.length;
      const bytes = Buffer.concat(this.#waiting);
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#handle.write(
          bytes,
          done,
          bytes.length - done,
          this.#position + done,
        );
        done += bytesWritten;
      }
      this.#position += bytes.length;
      this.#waiting.splice(0, taken);
      this.#waitingBytes -= bytes.length;
    }
  }

  async #open(): Promise<AppendableFile> {
    const handle = await (this.#options.openFile ?? openFile)(this.path);
    try {
      await handle.truncate(this.#position);
      return handle;
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      if (this.#hasWarned) return;
      this.#hasWarned = true;
      this.#options.onWarning(
        `receipts cannot be written to ${this.path}: ${messageOf(error)}. Training goes on, and they are tried again`,
      );
    }
  }

  #drop(): void {
    this.#hasEnded = true;
    this.#waiting = [];
    this.#waitingBytes = 0;
  }

  #end(): void {
    this.#drop();
    this.#options.onWarning(`${this.path} ends here: too many receipts wait for the disk`);
  }
}
