/** Options that several commands share, and readers of option values. */
import { InvalidArgumentError, Option } from 'commander'
import type { Command } from 'commander'
import { createControlClient } from '../api/client.js'
import type { ControlClient } from '../api/client.js'
import { ExitCode, TsnatError } from '../errors.js'

export interface InstanceOptions {
  name: string
  socket?: string
  json?: true
}

export const instancePattern = /^[a-z0-9-]{1,15}$/

const instanceName = (text: string): string => {
  if (!instancePattern.test(text)) throw new InvalidArgumentError('A name is 1 to 15 characters out of a-z, 0-9 and "-".')
  return text
}

/** Reader of a whole number in a range. */
export const wholeNumber =
  (minimum: number, maximum: number) =>
  (text: string): number => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN
    if (value >= minimum && value <= maximum) return value
    throw new InvalidArgumentError(`It must be a whole number from ${minimum} to ${maximum}.`)
  }

/** What is wrong with the words of a command that the parser itself took. */
export const usageError = (message: string, hint: string): TsnatError =>
  new TsnatError(message, { code: 'USAGE', hint, exitCode: ExitCode.usage })

/** `--name`, `--socket` and `--json`: which running gateway a command speaks to, and how it answers. */
export const instanceOptions = (command: Command): Command =>
  command
    .addOption(new Option('-N, --name <name>', 'name of the instance').default('default').argParser(instanceName))
    .option('--socket <path>', 'its control socket, when "up" was given one')
    .option('--json', 'print JSON, errors too')

/** The same for words that other programs gave their meaning to: `-N` may be one of them. */
export const namedInstanceOptions = (command: Command): Command =>
  command
    .addOption(new Option('--name <name>', 'name of the instance').default('default').argParser(instanceName))
    .option('--socket <path>', 'its control socket, when "up" was given one')

export const clientFor = ({ name, socket }: InstanceOptions): ControlClient => createControlClient(name, socket)

/** Examples under the help of a command: lines of "command" and what it does. */
export const examples = (command: Command, lines: readonly (readonly [line: string, meaning: string])[]): Command => {
  const width = Math.max(...lines.map(([line]) => line.length))
  const text = lines.map(([line, meaning]) => `  ${line.padEnd(width)}  # ${meaning}`)
  return command.addHelpText('after', ['', 'Examples:', ...text].join('\n'))
}
