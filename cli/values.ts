import { didYouMean } from '../shared/did-you-mean.js';
import { LockstepError } from '../shared/errors.js';

/** Parsers of option values: each names the option, what was given, and what it should be. */

/** @throws LockstepError BAD_OPTION */
export function integerOf(option: string, min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^-?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (Number.isSafeInteger(value) && value >= min && value <= max) return value;
    throw badValue(
      option,
      text,
      `an integer from ${min} to ${max}`,
      `Write for example ${option} ${max < 2 ? min : Math.max(min, 2)}.`,
    );
  };
}

/** @throws LockstepError BAD_OPTION */
export function fractionOf(option: string): (text: string) => number {
  return (text) => {
    const value = /^(?:0|1|[01]?\.\d+)$/.test(text) ? Number(text) : Number.NaN;
    if (value >= 0 && value <= 1) return value;
    throw badValue(option, text, 'a number from 0 to 1', `Write for example ${option} 0.01.`);
  };
}

/** @throws LockstepError BAD_OPTION */
export function choiceOf<T extends string>(option: string, choices: readonly T[]): (text: string) => T {
  return (text) => {
    const found = choices.find((choice) => choice === text);
    if (found !== undefined) return found;
    const near = didYouMean(text, choices);
    throw badValue(
      option,
      text,
      `one of ${choices.join(', ')}`,
      near === null ? `Write for example ${option} ${choices[0]}.` : `Did you mean ${option} ${near}?`,
    );
  };
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000 } as const;

/** A time as `90s`, `10m` or `2h`, in milliseconds. @throws LockstepError BAD_OPTION */
export function timeOf(option: string): (text: string) => number {
  return (text) => {
    const { number, unit } = /^(?<number>\d{1,6})(?<unit>[smh])$/.exec(text)?.groups ?? {};
    if (Number(number) > 0) return Number(number) * unitMs[unit as keyof typeof unitMs];
    throw badValue(option, text, 'a time such as 90s, 10m or 2h', `Write for example ${option} 10m.`);
  };
}

/** Names separated by commas. @throws LockstepError BAD_OPTION */
export function choicesOf<T extends string>(option: string, choices: readonly T[]): (text: string) => T[] {
  const one = choiceOf(option, choices);
  return (text) => text.split(',').map(one);
}

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** `HOST:PORT`, with IPv6 addresses in brackets; port 0 lets the system choose. @throws LockstepError BAD_OPTION */
export function addressOf(option: string): (text: string) => Address {
  return (text) => {
    const match = /^(?:\[(?<v6>[0-9a-fA-F:.]+)\]|(?<name>[^:[\]]+)):(?<port>\d{1,5})$/.exec(text);
    const port = Number(match?.groups?.port);
    const host = match?.groups?.v6 ?? match?.groups?.name;
    if (host !== undefined && port <= 65535) return { host, port };
    throw badValue(option, text, 'HOST:PORT', `Write for example ${option} 0.0.0.0:7070.`);
  };
}

/** A WebSocket URL. @throws LockstepError BAD_OPTION */
export function webSocketUrlOf(option: string): (text: string) => string {
  return (text) => {
    const withScheme = /^[a-z+]+:/.test(text) && !/^[^/]+:\d+$/.test(text) ? text : `ws://${text}`;
    if (/^(?:wss?:\/\/[^/\s]+|ws\+unix:\S+)/.test(withScheme) && URL.canParse(withScheme)) return withScheme;
    throw badValue(option, text, 'a ws:// or wss:// URL', `Write for example ${option} ws://10.0.0.1:7070.`);
  };
}

function badValue(option: string, text: string, expected: string, hint: string): LockstepError {
  return new LockstepError('BAD_OPTION', `${option} cannot be "${text}"; expected ${expected}`, { hint });
}
