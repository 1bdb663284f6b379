/** From an error to its text and its exit code. docs/exit-codes.md tells users about both. */
import { CommanderError } from 'commander'
import { ExitCode, TsnatError } from '../errors.js'
import { version } from '../version.js'
import { paint } from './terminal.js'
import type { Terminal } from './terminal.js'

/** What the argument parser says, in the form of our own errors: "error: X\n(Did you mean Y?)". */
const parserError = (error: CommanderError): TsnatError => {
  const [complaint = '', ...rest] = error.message.replace(/^error: /, '').split('\n')
  const suggestion = rest.join(' ').replace(/^\(?(.*?)\)?$/, '$1').replace(/^Did/, 'did')
  return new TsnatError(complaint.replace(/\.$/, ''), {
    code: 'USAGE',
    hint: suggestion === '' ? 'see "tsnat --help", or "tsnat COMMAND --help"' : suggestion,
    exitCode: ExitCode.usage,
  })
}

/**
 * Prints an error and returns the exit code that belongs to it. Help and version are no errors. Whatever is not a
 * TsnatError is a bug and is shown with its stack.
 * @param json one JSON object on a line instead of text
 */
export const reportError = (thrown: unknown, terminal: Terminal, json: boolean): ExitCode => {
  if (thrown instanceof CommanderError && (thrown.exitCode === 0 || thrown.code === 'commander.help')) {
    return thrown.exitCode === 0 ? ExitCode.ok : ExitCode.usage
  }
  const error = thrown instanceof CommanderError ? parserError(thrown) : thrown
  const { err } = terminal
  if (error instanceof TsnatError) {
    const { code, message, hint, exitCode } = error
    if (json) err.write(`${JSON.stringify({ code, message, hint, exitCode })}\n`)
    else err.write(`${paint(err, 'red', 'tsnat:')} ${message}\n${hint === undefined ? '' : `  ${paint(err, 'cyan', 'hint:')} ${hint}\n`}`)
    return exitCode
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
  if (json) {
    const message = error instanceof Error ? error.message : String(error)
    err.write(`${JSON.stringify({ code: 'BUG', message, stack, exitCode: ExitCode.bug })}\n`)
  } else {
    const about = `tsnat ${version()}, Node ${process.version}, ${process.platform} ${process.arch}`
    const request = 'this is a bug in tsnat. Please report it with these lines and the command that you gave.'
    err.write(`${paint(err, 'red', 'tsnat:')} ${request}\n  ${about}\n${stack}\n`)
  }
  return ExitCode.bug
}
