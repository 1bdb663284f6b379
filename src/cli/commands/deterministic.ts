import { Command, Option } from 'commander'
import { deterministicPlan } from '../../control/outside-plan.js'
import { ExitCode, TsnatError } from '../../errors.js'
import { deterministicFault, DeterministicPlan, type PortAssignment } from '../../nat/deterministic.js'
import { parsePool } from '../../nat/pool.js'
import { formatIpv4, parseIpv4, parsePrefix } from '../../stack/wire/address.js'
import { examples, usageError, wholeNumber } from '../options.js'
import { write, writeLines } from '../terminal.js'
import type { Terminal } from '../terminal.js'

interface DeterministicOptions {
  config?: string
  inside?: string
  outside?: string
  reserved?: number
  dynamic?: number
  perHost?: number
  json?: true
}

/** From a configuration file. */
const configured = async (file: string): Promise<DeterministicPlan> => {
  const { loadConfig } = await import('../../config-file.js')
  const plan = deterministicPlan(loadConfig(file))
  if (plan !== null) return plan
  throw usageError(`${file} says nothing of deterministic NAT`, 'set nat.deterministic there, or give --inside and --outside')
}

/** From the options. */
const given = ({ inside, outside, reserved = 1024, dynamic = 0, perHost = 0 }: DeterministicOptions): DeterministicPlan => {
  if (inside === undefined || outside === undefined) {
    throw usageError('neither --config nor both of --inside and --outside are given', 'such as --inside 10.77.0.0/28 --outside 203.0.113.1')
  }
  if (parsePrefix(inside) === null) throw usageError(`--inside ${inside} is not a network`, 'write it such as 10.77.0.0/28')
  const addresses = parsePool(outside)
  if (addresses === null) throw usageError(`--outside ${outside} is not a list of addresses`, 'write it such as 203.0.113.1,203.0.113.9-203.0.113.12,198.18.0.0/30')
  const settings = { inside, reserved, dynamic, perHost }
  const fault = deterministicFault(settings, addresses.length)
  if (fault !== null) throw usageError(fault, 'more outside addresses, fewer hosts, or other values of --reserved, --dynamic and --per-host')
  return new DeterministicPlan(settings, addresses)
}

const planOf = async (options: DeterministicOptions): Promise<DeterministicPlan> => {
  if (options.config === undefined) return given(options)
  const { inside, outside, reserved, dynamic, perHost } = options
  if ([inside, outside, reserved, dynamic, perHost].every((one) => one === undefined)) return configured(options.config)
  throw usageError('--config and the options that describe the NAT cannot go together', 'leave out one or the other')
}

const nobody = (message: string): TsnatError =>
  new TsnatError(message, { code: 'NOT_FOUND', hint: 'without an address, all inside hosts are listed', exitCode: ExitCode.failure })

/** `ADDRESS` or `ADDRESS:PORT` */
const find = (plan: DeterministicPlan, text: string): PortAssignment => {
  const [, address = '', port] = /^([^:]*)(?::(\d{1,5}))?$/.exec(text) ?? []
  const parsed = parseIpv4(address)
  if (parsed === null || Number(port ?? 0) > 65535) {
    throw usageError(`${text} is neither an address nor an address with a port`, 'an inside address, such as 10.77.0.5, or an outside one with a port: 203.0.113.1:5000')
  }
  const found = port === undefined ? plan.assignment(parsed) : plan.owner(parsed, Number(port))
  if (found !== null) return found
  if (port === undefined) throw nobody(`${address} is no host of ${plan.settings.inside}`)
  if (!plan.outside.includes(parsed)) throw nobody(`${address} is not one of the outside addresses`)
  const why = Number(port) < plan.settings.reserved ? 'reserved' : plan.settings.dynamic > 0 && Number(port) >= plan.overflow ? 'given by the block; the log says to whom' : 'left over'
  throw nobody(`port ${port} of ${address} is no host's own: it is ${why}`)
}

const textOf = ({ inside, outside, first, last }: PortAssignment): string =>
  `${formatIpv4(inside).padEnd(15)}  ${formatIpv4(outside)} ${first}-${last}`

const recordOf = ({ inside, outside, first, last }: PortAssignment): Record<string, string | number> =>
  ({ inside: formatIpv4(inside), outside: formatIpv4(outside), first, last })

function* lines(plan: DeterministicPlan, show: (one: PortAssignment) => string): Generator<string> {
  for (const one of plan.assignments()) yield show(one)
}

const run = async (asked: string | undefined, options: DeterministicOptions, terminal: Terminal): Promise<void> => {
  const plan = await planOf(options)
  const show = options.json === true ? (one: PortAssignment) => JSON.stringify(recordOf(one)) : textOf
  if (asked !== undefined) await write(terminal.out, `${show(find(plan, asked))}\n`)
  else await writeLines(terminal.out, lines(plan, show))
}

/** `tsnat deterministic` */
export const deterministicCommand = (terminal: Terminal): Command =>
  examples(
    new Command('deterministic')
      .description('compute who has which ports with deterministic NAT (RFC 7422); needs no running gateway')
      .argument('[address]', 'an inside address, or an outside one with a port: ADDRESS:PORT; all inside hosts when absent')
      .option('-c, --config <file>', 'configuration with nat.deterministic, instead of what follows')
      .option('--inside <network>', 'network of the inside hosts')
      .option('--outside <addresses>', 'outside addresses, ranges and networks')
      .addOption(new Option('--reserved <ports>', 'lowest ports, which nobody gets (1024)').argParser(wholeNumber(0, 65_000)))
      .addOption(new Option('--dynamic <share>', 'share that is given by the block to whom needs more: D (0)').argParser(wholeNumber(0, 65_535)))
      .addOption(new Option('--per-host <ports>', 'ports of one host at most: M; 0 for no other bound (0)').argParser(wholeNumber(0, 65_535)))
      .option('--json', 'print JSON, one object a line; errors too')
      .action((asked: string | undefined, options: DeterministicOptions) => run(asked, options, terminal)),
    [
      ['tsnat deterministic --inside 10.77.0.0/28 --outside 203.0.113.1', 'all hosts and their ports'],
      ['tsnat deterministic --config tsnat.yaml 10.77.0.5', 'the ports of a host'],
      ['tsnat deterministic --config tsnat.yaml 203.0.113.1:40000', 'whose a port is'],
    ],
  )
