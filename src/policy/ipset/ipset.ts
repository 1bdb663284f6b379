/** `ipset …`: one command, or a file of them, on the sets. */
import type { SetEdit } from '../sets/edits.js'
import { parseCommand, runCommand } from './command.js'
import { type IpsetContext, SetsDraft } from './draft.js'
import { syntaxError } from './error.js'
import { HELP_TEXT, VERSION_TEXT } from './help.js'
import type { SetsState } from './state.js'
import { splitLine, type Word, wordsOf } from './words.js'

export interface IpsetResult {
  /** The state that was given when nothing changed. */
  readonly state: SetsState
  /** For the data plane, in this order. */
  readonly edits: readonly SetEdit[]
  /** For standard output, or for `file`. */
  readonly output: string
  /** For standard error. */
  readonly notice: string
  /** 0; 1 when a tested element is not in the set. */
  readonly exitCode: number
  /** Where the output goes; null: standard output. */
  readonly file: string | null
}

/** What `restore` reads. */
export interface IpsetInput {
  readonly text: string
  /** Its name in errors. */
  readonly name: string
}

/** The file that a command reads, or null when it reads standard input or nothing. Throws TsnatError as `runIpset` does. */
export const ipsetInput = (argv: readonly string[]): { readonly reads: boolean; readonly file: string | null } => {
  const { verb, file } = parseCommand(wordsOf(argv))
  return { reads: verb === 'restore', file: verb === 'restore' ? (file?.text ?? null) : null }
}

/**
 * Carries out a command with the arguments of ipset.
 * @param input for `restore`
 * @throws TsnatError with the code POLICY_SYNTAX, POLICY_REFUSED or POLICY_INVALID; nothing has changed then
 */
export const runIpset = (state: SetsState, argv: readonly string[], context: IpsetContext, input?: IpsetInput): IpsetResult => {
  const command = parseCommand(wordsOf(argv))
  const nothing: IpsetResult = { state, edits: [], output: '', notice: '', exitCode: 0, file: null }
  if (command.verb === 'help') return { ...nothing, output: HELP_TEXT }
  if (command.verb === 'version') return { ...nothing, output: VERSION_TEXT }
  if (command.verb === 'restore') return { ...nothing, ...restoreSets(state, input ?? { text: '', name: 'standard input' }, context, command.exist) }
  const draft = new SetsDraft(state, context)
  const { output, notice, isTrue } = runCommand(draft, command)
  return { state: draft.state(), edits: draft.edits.edits, output, notice, exitCode: isTrue ? 0 : 1, file: command.file?.text ?? null }
}

/**
 * Carries out a saved file: all of its commands, or, when one of them fails, none.
 * @param exist as if all of its commands said `-exist`
 * @throws TsnatError that names the line and the column
 */
export const restoreSets = (
  state: SetsState, input: IpsetInput, context: IpsetContext, exist = false,
): Pick<IpsetResult, 'state' | 'edits' | 'output' | 'notice'> => {
  const draft = new SetsDraft(state, context)
  let output = ''
  let notice = ''
  input.text.split('\n').forEach((line, index) => {
    const words = splitCommand(line, input.name, index + 1)
    if (words.length === 0) return
    const command = parseCommand(words)
    if (command.file !== null) throw syntaxError(command.file, 'a file names no other file')
    const said = runCommand(draft, { ...command, exist: exist || command.exist })
    output += said.output
    notice += said.notice
  })
  return { state: draft.state(), edits: draft.edits.edits, output, notice }
}

/** Words of a line; none for a comment, an empty line, or the COMMIT of old files. */
const splitCommand = (line: string, file: string, number: number): readonly Word[] => {
  if (/^\s*(#|$)/.test(line) || line.trim() === 'COMMIT') return []
  const words = splitLine(line, file, number)
  if (typeof words !== 'number') return words
  throw syntaxError({ text: '"', at: { file, line: number, column: words } }, 'the quote is never closed')
}
