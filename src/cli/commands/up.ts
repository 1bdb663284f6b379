import { Command, Option } from 'commander'
import { errorObject } from '../../api/error-object.js'
import { examples, wholeNumber } from '../options.js'
import { write } from '../terminal.js'
import type { Terminal } from '../terminal.js'
import { addUpFlags, readUpFlags } from '../up/flags.js'
import type { UpFlags } from '../up/flags.js'

interface UpOptions extends UpFlags {
  config?: string
  detach?: true
  readyTimeout: number
  json?: true
}

const run = async (options: UpOptions, terminal: Terminal, args: readonly string[]): Promise<void> => {
  const { detach, takeDetachedMark, tellParent } = await import('../up/detach.js')
  const detached = takeDetachedMark()
  try {
    const flags = readUpFlags(options)
    // The heavier parts are loaded here, so that the other commands start without them.
    const { loadConfig } = await import('../../config-file.js')
    const config = loadConfig(options.config, flags.config, flags.locate)
    if (options.detach === true) {
      const pid = await detach(config.name, args, options.readyTimeout)
      const { name } = config
      await write(terminal.out, options.json === true ? `${JSON.stringify({ name, pid })}\n` : `tsnat ${name} is up, pid ${pid}\n`)
      return
    }
    const [{ runForeground }, { createLog }] = await Promise.all([import('../up/foreground.js'), import('../up/log.js')])
    terminal.keepWithoutOutput()
    await runForeground(config, createLog(config, terminal.err), terminal, async () => {
      if (detached) await tellParent({ type: 'ready' })
    })
  } catch (error) {
    if (detached) await tellParent({ type: 'error', ...errorObject(error) })
    throw error
  }
}

/**
 * `tsnat up`
 * @param args of the process, for `--detach`
 */
export const upCommand = (terminal: Terminal, args: readonly string[]): Command =>
  examples(
    addUpFlags(
      new Command('up')
        .description('start a gateway: make the TUN, take the traffic, translate it and send it out of the WAN interface')
        .option('-c, --config <file>', 'YAML file; flags win over it. Keys: docs/configuration.md')
        .option('--detach', 'run in the background; return when packets flow')
        .addOption(
          new Option('--ready-timeout <seconds>', 'with --detach: give up after so long').default(30).argParser(wholeNumber(1, 86_400)),
        )
        .option('--json', 'with --detach: print JSON, errors too'),
    ),
    [
      ['tsnat up --wan eth0 --lan tun0', "all of this host's traffic through tsnat; Ctrl-C ends and undoes"],
      ['tsnat up --wan eth0 --detach', 'the same in the background; "tsnat down" ends it'],
      ['tsnat up --wan eth0 --capture iif=br0', 'a router for what arrives on br0'],
      ['tsnat up --wan eth0 --netns app', 'for the network namespace "app" only'],
      ['tsnat up --wan eth0 --wan-address owned:198.51.100.7/24', 'from an address that only tsnat has'],
      ['tsnat up --wan eth0,check=icmp --wan eth1,check=icmp', 'with two ways out, the second one when the first fails'],
      ['tsnat up --wan eth0 --rules rules.v4 --ip-batch routes', 'with rules of iptables-save, and lines of "ip -batch"'],
      ['tsnat up --config /etc/tsnat.yaml --log-level debug', 'from a file'],
    ],
  )
    .addHelpText(
      'after',
      `
Prints "ready" when packets flow, and tells systemd (Type=notify). Everything changed on the host is undone at the end;
after a crash, by "tsnat down" or the next "tsnat up". Exit codes: docs/exit-codes.md.`,
    )
    .action((options: UpOptions) => run(options, terminal, args))
