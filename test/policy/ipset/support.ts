/** Commands of ipset on one state after another. */
import { TsnatError } from '../../../src/errors.js'
import { type IpsetResult, NO_SETS, runIpset, type SetsState } from '../../../src/policy/ipset/index.js'
import type { SetEdit } from '../../../src/policy/sets/edits.js'

export class Sets {
  state: SetsState = NO_SETS
  now = 1_000_000
  edits: SetEdit[] = []
  readonly references = new Map<string, number>()

  /** @param command words with blanks between; text in quotes is one word */
  run(command: string, input?: string): IpsetResult {
    const argv = [...command.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain!)
    const context = { now: this.now, random: () => 0xcafe, referencesOf: (name: string) => this.references.get(name) ?? 0 }
    const result = runIpset(this.state, argv, context, input === undefined ? undefined : { text: input, name: 'rules.ipset' })
    this.state = result.state
    this.edits.push(...result.edits)
    return result
  }

  /** Several commands; the output of the last. */
  all(...commands: string[]): string {
    return commands.map((command) => this.run(command).output).at(-1)!
  }

  /** The error of a command that must fail, as `CODE: message (hint)`. Nothing has changed. */
  error(command: string, input?: string): string {
    const before = this.state
    try {
      this.run(command, input)
    } catch (error) {
      if (!(error instanceof TsnatError)) throw error
      if (this.state !== before) throw new Error('the state has changed', { cause: error })
      return `${error.code}: ${error.message} (${error.hint})`
    }
    throw new Error(`"${command}" did not fail`)
  }

  /** Elements of a set as they are saved. */
  elements(name: string): string[] {
    return this.run(`save ${name}`).output.split('\n').slice(1, -1).map((line) => line.slice(`add ${name} `.length))
  }

  /** Whether an element is in a set. */
  has(name: string, element: string): boolean {
    return this.run(`test ${name} ${element}`).exitCode === 0
  }
}
