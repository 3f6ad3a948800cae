import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { ZodError } from 'zod';
import { invariant, LockstepError, messageOf } from '../../shared/errors.js';
import type { Manifest } from '../../shared/manifest.js';
import { flatten } from '../../shared/manifest.js';
import type { Slots } from '../optimizer/optimizer.js';
import type { Disk, WrittenFile } from './disk.js';
import { decodeExact, encodeExact } from './exact-json.js';
import { modelFiles, readModelFiles } from './model-files.js';
import { checkpointFormat, type RunFile, type RunState, runFile } from './run-state.js';
import { decodeSafetensors, type SafeTensor, safetensorsChunks } from './safetensors.js';

/**
 * One committed step of a run: all that a resume needs. Whoever makes it gives copies; nothing in it may change
 * until it is written.
 */
export interface Snapshot {
  readonly manifest: Manifest;
  /** `model.toJSON(null, false)` */
  readonly topology: unknown;
  /** float32[totalSize] in manifest order. */
  readonly flat: Float32Array;
  /** By variable. */
  readonly slots: ReadonlyMap<string, Slots>;
  /** Callback tensors, the open epoch's float64 sums and metric scores. */
  readonly tensors: Readonly<Record<string, Float32Array | Float64Array>>;
  readonly run: RunState;
}

const runJson = 'run.json';
const runSum = 'run.json.sha256';
const slotsFile = 'optimizer.safetensors';
const tensorsFile = 'state.safetensors';

/**
 * Writes a snapshot's files into `directory`, each synced: the model as plain TensorFlow.js loads it, all other
 * tensors as safetensors, `run.json` with the sha256 of each, and `run.json.sha256` as `sha256sum -c` reads it.
 * Rejects with Node's errors. Gives the number of bytes written.
 */
export async function writeSnapshot(disk: Disk, directory: string, snapshot: Snapshot): Promise<number> {
  const contents = new Map([
    ...modelFiles(snapshot, 'weights.bin'),
    [slotsFile, safetensorsChunks(slotTensors(snapshot.slots))],
    [tensorsFile, safetensorsChunks(new Map(Object.entries(snapshot.tensors).map(vector)))],
  ]);
  const files: Record<string, WrittenFile> = {};
  for (const [name, chunks] of contents) files[name] = await disk.write(join(directory, name), chunks);
  const { manifest, run } = snapshot;
  const text = new TextEncoder();
  const json = encodeExact({ format: checkpointFormat, run, manifest, files });
  const written = await disk.write(join(directory, runJson), [text.encode(`${json}\n`)]);
  const sum = await disk.write(join(directory, runSum), [text.encode(sumLine(written.sha256))]);
  return [...Object.values(files), written, sum].reduce((total, { bytes }) => total + bytes, 0);
}

const sumLine = (sha256: string): string => `${sha256}  ${runJson}\n`;

function vector<T extends Float32Array | Float64Array>([name, data]: [string, T]): [string, SafeTensor] {
  return [name, { shape: [data.length], data }];
}

function slotTensors(slots: ReadonlyMap<string, Slots>): Map<string, SafeTensor> {
  const named = new Map<string, SafeTensor>();
  for (const [variable, byName] of slots) {
    for (const [slot, data] of Object.entries(byName)) {
      invariant(!slot.includes('/'), `the slot ${slot} has a / in its name`);
      named.set(...vector([`${variable}/${slot}`, data]));
    }
  }
  return named;
}

function slotsOf(tensors: ReadonlyMap<string, SafeTensor>): Map<string, Slots> {
  const slots = new Map<string, Record<string, Float32Array>>();
  for (const [name, { data }] of tensors) {
    const slash = name.lastIndexOf('/');
    const variable = name.slice(0, slash);
    const byName = slots.get(variable) ?? {};
    if (!(data instanceof Float32Array) || slash < 0) throw corrupt(`${slotsFile} holds ${name}`);
    byName[name.slice(slash + 1)] = data;
    slots.set(variable, byName);
  }
  return slots;
}

/**
 * Reads a checkpoint and verifies every byte of it.
 * @throws LockstepError CHECKPOINT_CORRUPT; CHECKPOINT_MISMATCH if another version of Lockstep wrote it
 */
export async function readSnapshot(disk: Disk, directory: string): Promise<Snapshot> {
  const { run, manifest, files } = await readRunFile(disk, directory);
  const read = async (name: string): Promise<Uint8Array> => {
    const bytes = await readFile(disk, directory, name);
    const expected = files[name];
    if (expected === undefined) throw corrupt(`${runJson} does not list ${name}`);
    if (bytes.length !== expected.bytes) {
      throw corrupt(`${name} has ${bytes.length} bytes, expected ${expected.bytes}`);
    }
    if (sha256(bytes) !== expected.sha256) throw corrupt(`${name} does not match its checksum`);
    return bytes;
  };
  const { topology, weights } = await readModelFiles(read, directory);
  const values = manifest.weights.map(({ name, size }) => {
    const value = weights.get(name);
    if (value?.length !== size) throw corrupt(`weight ${name} does not fit the manifest`);
    return value;
  });
  const tensors = Object.fromEntries(
    [...decodeSafetensors(await read(tensorsFile))].map(([name, { data }]) => {
      if (data instanceof Float32Array || data instanceof Float64Array) return [name, data];
      throw corrupt(`${tensorsFile} holds ${name}`);
    }),
  );
  return {
    manifest,
    topology,
    flat: flatten(manifest, values),
    slots: slotsOf(decodeSafetensors(await read(slotsFile))),
    tensors,
    run,
  };
}

async function readRunFile(disk: Disk, directory: string): Promise<RunFile> {
  const bytes = await readFile(disk, directory, runJson);
  const sum = new TextDecoder().decode(await readFile(disk, directory, runSum));
  if (sum !== sumLine(sha256(bytes))) throw corrupt(`${runJson} does not match its checksum`);
  const content = parse(bytes);
  if (typeof content === 'object' && content !== null && 'format' in content) {
    if (content.format !== checkpointFormat) {
      throw new LockstepError(
        'CHECKPOINT_MISMATCH',
        `the checkpoint ${directory} has format ${content.format}, expected ${checkpointFormat}`,
        { hint: 'Resume with the version of Lockstep that wrote it.' },
      );
    }
  }
  const checked = runFile.safeParse(content);
  if (checked.success) return checked.data;
  throw corrupt(`${runJson}: ${firstIssue(checked.error)}`);
}

function parse(bytes: Uint8Array): unknown {
  try {
    return decodeExact(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw corrupt(`${runJson} is not JSON`, cause);
  }
}

function firstIssue({ issues: [issue] }: ZodError): string {
  return `${issue.path.join('.')}: ${issue.message}`;
}

async function readFile(disk: Disk, directory: string, name: string): Promise<Uint8Array> {
  try {
    return await disk.read(join(directory, name));
  } catch (cause) {
    throw corrupt(`${name} cannot be read: ${messageOf(cause)}`, cause);
  }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function corrupt(reason: string, cause?: unknown): LockstepError {
  return new LockstepError('CHECKPOINT_CORRUPT', reason, {
    hint: 'Resume from another checkpoint, or train again.',
    cause,
  });
}
