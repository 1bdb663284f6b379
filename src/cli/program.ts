/** The command line as a whole: its commands, and how one call becomes an exit code. */
import { Command } from 'commander'
import { ExitCode } from '../errors.js'
import { version } from '../version.js'
import { captureCommand } from './commands/capture.js'
import { conntrackCommand } from './commands/conntrack.js'
import { demoCommand } from './commands/demo.js'
import { deterministicCommand } from './commands/deterministic.js'
import { downCommand } from './commands/down.js'
import { ncCommand } from './commands/nc.js'
import { pingCommand } from './commands/ping.js'
import { redirectCommand } from './commands/redirect.js'
import { ssCommand } from './commands/ss.js'
import { statusCommand } from './commands/status.js'
import { isTool, toolCommands } from './commands/tools.js'
import { traceCommand } from './commands/trace.js'
import { upCommand } from './commands/up.js'
import { reportError } from './report-error.js'
import type { Terminal } from './terminal.js'

/**
 * Runs one command.
 * @param args without the interpreter and the script
 * @returns the exit code: of `ExitCode`, or, of a tool whose words these are, the tool's own; errors have been printed
 */
export const runCommand = async (args: readonly string[], terminal: Terminal): Promise<number> => {
  const [first, ...words] = args
  if (first !== undefined && isTool(first)) {
    // Their words are their own: no parser comes between.
    const { runToolCommand } = await import('./tools.js')
    return runToolCommand(first, words, terminal).catch((error: unknown) => reportError(error, terminal, false))
  }
  let exitCode: number = ExitCode.ok
  const setExitCode = (code: number): void => {
    exitCode = code
  }
  const program = new Command('tsnat')
    .description('A userspace NAT gateway for Linux: what enters a TUN leaves, translated, by another interface.')
    .version(version(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help; also after a command')
    .configureOutput({
      writeOut: (text) => void terminal.out.write(text),
      writeErr: (text) => void terminal.err.write(text),
      outputError: () => {},
      getOutHasColors: () => terminal.out.isTTY === true,
      getErrHasColors: () => terminal.err.isTTY === true,
    })
    .exitOverride()
    .addHelpText(
      'after',
      `
Two commands to begin with:
  sudo tsnat demo                       # see it work, in network namespaces of its own
  sudo tsnat up --wan eth0 --lan tun0   # NAT this host's traffic; Ctrl-C undoes everything

Then, from another terminal:
  sudo tsnat status
  sudo tsnat conntrack -L
  sudo tsnat iptables -A FORWARD -p tcp --dport 25 -j REJECT
  sudo tsnat trace -s 10.77.0.2 -d 198.51.100.10 -p tcp --dport 25
  sudo tsnat capture -w - | tshark -i -
  sudo tsnat ping -c 3 198.51.100.10`,
    )
  for (const command of [
    upCommand(terminal, args),
    downCommand(terminal),
    statusCommand(terminal),
    conntrackCommand(terminal, setExitCode),
    captureCommand(terminal),
    traceCommand(terminal),
    redirectCommand(terminal),
    ncCommand(terminal, setExitCode),
    pingCommand(terminal, setExitCode),
    ssCommand(terminal),
    deterministicCommand(terminal),
    demoCommand(),
    ...toolCommands(),
  ]) {
    program.addCommand(command.copyInheritedSettings(program))
  }
  try {
    await program.parseAsync(args, { from: 'user' })
    return exitCode
  } catch (error) {
    return reportError(error, terminal, args.includes('--json'))
  }
}
