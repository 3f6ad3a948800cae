import { backendChoices } from '../shared/backends.js';
import { didYouMean } from '../shared/did-you-mean.js';
import { LockstepError } from '../shared/errors.js';
import { minTokenLength } from '../shared/token.js';
import type { ListenClusterOptions, LocalOptions } from './cluster.js';
import { checkAuditFraction } from './loop/audited-shards.js';

const localOptions: Readonly<Record<keyof LocalOptions, true>> = {
  backend: true,
  threadsPerWorker: true,
  auditFraction: true,
  allowMixed: true,
  job: true,
  withoutWorkersMs: true,
  onEvent: true,
  faults: true,
  workers: true,
};
const listenOptions: Readonly<Record<keyof ListenClusterOptions, true>> = {
  ...localOptions,
  host: true,
  port: true,
  token: true,
  tls: true,
  insecure: true,
  allowedOrigins: true,
  joinTimeoutMs: true,
};

/** @throws LockstepError BAD_OPTION for an option of `Cluster.local` that does not exist or cannot be used */
export function checkLocalOptions(options: LocalOptions): void {
  checkNames('local', options, localOptions);
  checkShared(options);
}

/** @throws LockstepError BAD_OPTION for an option of `Cluster.listen` that does not exist or cannot be used */
export function checkListenOptions(options: ListenClusterOptions): void {
  checkNames('listen', options, listenOptions);
  checkShared(options);
  const { token, allowedOrigins = [] } = options;
  const noOrigin = allowedOrigins.find(
    (origin) => !URL.canParse(origin) || new URL(origin).origin !== origin,
  );
  if (noOrigin !== undefined) {
    throw bad(
      `allowedOrigins has ${noOrigin}, which is no origin of a web page`,
      'Write it as browsers do: https://example.org, or http://localhost:8080.',
    );
  }
  if (typeof token === 'string' && token.length >= minTokenLength) return;
  const what = typeof token === 'string' ? `has ${token.length} characters` : 'is missing';
  throw bad(
    `the token ${what}, expected at least ${minTokenLength} characters`,
    'Make one with: openssl rand -hex 32',
  );
}

function checkNames(what: string, options: object, known: object): void {
  const names = Object.keys(known);
  const unknown = Object.keys(options).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  const near = didYouMean(unknown, names);
  throw bad(
    `unknown option ${unknown} of Cluster.${what}`,
    near === null ? `Options are: ${names.join(', ')}.` : `Did you mean ${near}?`,
  );
}

function checkShared(options: LocalOptions): void {
  const { workers = 1, threadsPerWorker = 1, backend = 'auto' } = options;
  const { auditFraction = 0, withoutWorkersMs = 1 } = options;
  checkAuditFraction(auditFraction);
  checkCount('withoutWorkersMs', withoutWorkersMs, 'It is a time in milliseconds.');
  checkCount('workers', workers, 'One worker per GPU, or one per core.');
  checkCount('threadsPerWorker', threadsPerWorker, 'To use more cores, add workers.');
  if (!backendChoices.includes(backend)) {
    throw bad(`unknown backend ${backend}`, `Use one of ${backendChoices.join(', ')}.`);
  }
}

function checkCount(name: string, value: number, hint: string): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw bad(`${name} is ${value}, expected a whole number of at least 1`, hint);
}

function bad(message: string, hint: string): LockstepError {
  return new LockstepError('BAD_OPTION', message, { hint });
}
