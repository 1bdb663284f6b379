import { Command, Option } from 'commander'
import { TsnatError } from '../../errors.js'
import { runDemo } from '../demo/checks.js'
import { checkText, closingText, headingText } from '../demo/report.js'
import { play, roles } from '../demo/roles.js'
import { runUnprivileged } from '../demo/rootless.js'
import { checkProgram } from '../demo/stage.js'
import { examples, wholeNumber } from '../options.js'

interface DemoOptions {
  seconds: number
  json?: true
  as?: string
  address: string
}

const run = async ({ seconds, json, as, address }: DemoOptions): Promise<void> => {
  if (as !== undefined) return await play(as, address, seconds)
  checkProgram()
  const elsewhere = await runUnprivileged()
  if (elsewhere !== null) process.exit(elsewhere)
  const out = process.stdout
  if (json !== true) out.write(headingText(out))
  const report = await runDemo(seconds, (check) => { if (json !== true) out.write(checkText(out, check)) })
  out.write(json === true ? `${JSON.stringify(report, null, 2)}\n` : closingText(out, report))
  if (report.ok) return
  const failed = report.checks.filter((check) => !check.ok).map((check) => check.name)
  throw new TsnatError(`the demo failed: ${failed.join(', ')}`, { code: 'DEMO_FAILED', hint: 'please report this with the output above and your kernel version (uname -r)' })
}

/** `tsnat demo` */
export const demoCommand = (): Command =>
  examples(
    new Command('demo')
      .description('see it work: client, gateway and server in network namespaces of their own; real HTTP, DNS and ping through the gateway')
      .addOption(new Option('--seconds <n>', 'length of each of the four bulk transfers').default(2).argParser(wholeNumber(1, 600)))
      .option('--json', 'print the report as JSON, errors too')
      .addOption(new Option('--as <role>').choices(roles).hideHelp())
      .addOption(new Option('--address <address>').default('').hideHelp())
      .action(run),
    [
      ['sudo tsnat demo', 'exit code 0 when every check passed'],
      ['tsnat demo', 'without root, where user namespaces are allowed'],
      ['tsnat demo --json | jq .speed', 'for programs'],
    ],
  )
