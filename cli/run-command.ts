import { CommanderError } from 'commander';
import { LockstepError } from '../shared/errors.js';
import { createProgram, type Handlers } from './commands.js';
import { failureOf } from './failure.js';

export interface CommandOutput {
  write(text: string): void;
  writeError(text: string): void;
}

/**
 * Parses and carries out one command line.
 * @param args without the program's own name
 * @returns the exit code; errors are written, never thrown
 */
export async function runCommand(
  args: readonly string[],
  { version, handlers, output }: { version: string; handlers: Handlers; output: CommandOutput },
): Promise<number> {
  let exitCode = 0;
  const program = createProgram(version, handlers, (code) => {
    exitCode = code;
  });
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({
      writeOut: (text) => output.write(text),
      // What is wrong is said once, in our own words, where the error is caught.
      writeErr: () => {},
    });
  }
  if (args.length === 0) {
    output.writeError(program.helpInformation());
    return 2;
  }
  try {
    await program.parseAsync([...args], { from: 'user' });
    return exitCode;
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0;
    const error = thrown instanceof CommanderError ? badArguments(thrown, args) : thrown;
    const failure = failureOf(error, args.includes('--verbose'));
    output.writeError(failure.text);
    return failure.exitCode;
  }
}

/** `error: unknown option '--wokers'\n(Did you mean --workers?)`, as an error of ours. */
function badArguments({ message }: CommanderError, args: readonly string[]): LockstepError {
  const [what, suggestion] = message.replace(/^error: /, '').split('\n');
  const command = args.find((argument) => !argument.startsWith('-'));
  const known = command !== undefined && !what.startsWith('unknown command');
  const help = `See lockstep ${known ? `${command} ` : ''}--help.`;
  return new LockstepError('BAD_OPTION', what, { hint: suggestion?.replace(/^\((.*)\)$/, '$1') ?? help });
}
