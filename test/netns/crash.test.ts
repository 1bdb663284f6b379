/**
 * However the gateway ends, in good order or not, while packets flow: the host is as before, and at no moment does a packet
 * leave with its private source.
 */
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import type { LabProcess, RunResult } from '../../src/testing/lab/index.js'
import { CLIENT, fetchPage, GATEWAY, GatewayLab, pause, REMOTE, serveEcho, serveHttp, Talker, until } from './gateway-support.js'
import type { Capture } from './gateway-support.js'

/** The kernel's end of the TUN, which the host's own captured packets come from. */
const TUN_ADDRESS = '10.77.0.2'
/** What must not be seen outside. */
const PRIVATE = `src host ${CLIENT} or src host ${TUN_ADDRESS}`

let lab: GatewayLab
let before: string[]
let capture: Capture
beforeEach(async () => {
  lab = await GatewayLab.create()
  await Promise.all([serveHttp(lab.server), serveEcho(lab.server, REMOTE)])
  before = await lab.snapshot()
  capture = await lab.capture()
})
afterEach(() => lab.close())

/** Who talks through the gateway: the client, or programs on the gateway host itself. */
type From = 'client' | 'gateway'
const captureOf = { client: 'iif=eth1', gateway: 'default' } as const

const talk = async (from: From): Promise<Talker> => {
  const talker = await Talker.start(lab[from], REMOTE, 7, 'talk')
  expect(await fetchPage(lab[from], `http://${REMOTE}/`)).toContain(GATEWAY)
  await lab[from].node(FLOODER, [REMOTE]).waitFor(/flooding/)
  return talker
}

/** Datagrams from one connected socket, so many that there are some at every moment. */
const FLOODER = `
  import { createSocket } from 'node:dgram'
  const socket = createSocket('udp4')
  socket.on('error', () => {})
  socket.connect(9, process.argv[1], () => {
    console.log('flooding')
    setInterval(() => {
      for (let n = 0; n < 5; n++) socket.send('x', () => {})
    }, 1)
  })`

const hasLeftNothing = async (): Promise<void> => {
  expect(await lab.snapshot()).toEqual(before)
  expect(lab.left()).toEqual([])
}

/** Nothing untranslated was sent until now, or is in the moment to come. */
const leaksNothing = async (): Promise<void> => {
  await pause(300)
  expect(await capture.packets(PRIVATE)).toEqual([])
}

const FROM = ['client', 'gateway'] as const

describe.each(FROM)('while the %s talks', (from) => {
  it.each(['SIGINT', 'SIGTERM', 'tsnat down'])('%s', async (how) => {
    const up = await lab.up('--capture', captureOf[from])
    await talk(from)
    if (how === 'tsnat down') expect((await lab.tsnat('down')).code).toBe(ExitCode.ok)
    else up.kill(how as NodeJS.Signals)
    const { code, stderr } = await up.done
    // Nothing worth a warning: "level" is 30 and below.
    expect([code, stderr]).toEqual([ExitCode.ok, expect.not.stringMatching(/"level":[456]0|tsnat:/)])
    await leaksNothing()
    await hasLeftNothing()
  })

  it('a crash of the data plane: says why, forwards no more, undoes everything', async () => {
    const { up, crash } = await startCrashing('--capture', captureOf[from])
    const talker = await talk(from)
    crash()
    const result = await up.done
    expect(result.code).toBe(ExitCode.bug)
    expect(lastWords(result)).toEqual([
      'tsnat: the data plane has crashed: made to fail by the test',
      '  hint: this is a bug in tsnat: please report it with the log',
    ])
    await leaksNothing()
    await hasLeftNothing()
    await talker.stop()
  })

  it('kill -9, then down', async () => {
    const up = await lab.up('--capture', captureOf[from])
    await talk(from)
    up.kill('SIGKILL')
    await up.done
    // Until somebody tidies up, what was captured is refused.
    await leaksNothing()
    expect(await fetchPage(lab[from], `http://${REMOTE}/`, '--max-time', '0.3')).toMatch(/^error (7|28)$/)
    expect(await lab.tsnat('down')).toMatchObject({ code: ExitCode.ok, stdout: expect.stringContaining('was not running; undoing what it left:') })
    await hasLeftNothing()
    await leaksNothing()
  })

  it('kill -9, then the next up, and its end', async () => {
    const first = await lab.up('--capture', captureOf[from])
    await talk(from)
    first.kill('SIGKILL')
    await first.done
    const second = await lab.up('--capture', captureOf[from])
    expect(second.stderr).toContain('tidied up after an instance that did not end properly')
    await until(async () => (await fetchPage(lab[from], `http://${REMOTE}/`)).includes(GATEWAY))
    second.kill('SIGINT')
    expect((await second.done).code).toBe(ExitCode.ok)
    await leaksNothing()
    await hasLeftNothing()
  })

  it('the TUN removed by somebody', async () => {
    const up = await lab.up('--capture', captureOf[from])
    await talk(from)
    await lab.ip(lab.gateway, 'link del tun0')
    const result = await up.done
    expect(result.code).toBe(ExitCode.device)
    expect(lastWords(result)).toEqual([expect.stringContaining('tsnat: the TUN tun0 is gone'), expect.stringContaining('  hint: ')])
    await leaksNothing()
    await hasLeftNothing()
  })
})

it('a crash while detached is told in the log', async () => {
  const { crash, environment, options } = crashHook()
  const up = await lab.gateway.run(process.execPath, [...options, ...lab.upCommand('--detach')], { env: { ...lab.environment, ...environment } })
  expect(up.code).toBe(ExitCode.ok)
  crash()
  await until(async () => (await lab.tsnat('status')).code === ExitCode.notRunning)
  expect(lab.log()).toContain('tsnat: the data plane has crashed: made to fail by the test\n')
  expect(await lab.snapshot()).toEqual(before)
})

it('a data plane that hangs is ended by force', async () => {
  const { up, hang } = await startCrashing()
  await hang()
  up.kill('SIGINT')
  const result = await up.done
  expect(result.code).toBe(ExitCode.ok)
  expect(result.stderr).toContain('the data plane did not answer and was ended by force')
  await leaksNothing()
  await hasLeftNothing()
})

it('a second signal leaves at once, and undoes all the same', async () => {
  const up = await lab.up('--capture', 'default')
  up.kill('SIGINT')
  up.kill('SIGTERM')
  // Which of the two comes first is not sure.
  expect([ExitCode.ok, 128 + 2, 128 + 15]).toContain((await up.done).code)
  await hasLeftNothing()
})

const lastWords = ({ stderr }: RunResult): string[] => stderr.trimEnd().split('\n').slice(-2)

interface CrashHook {
  /** The data plane throws. */
  crash(): void
  /** The data plane turns in a circle from then on. */
  hang(): Promise<void>
  environment: Record<string, string>
  options: string[]
}

/** Lets the data plane's thread fail when told so: a module loaded ahead of it puts the fault into the addon's poll. */
const crashHook = (): CrashHook => {
  const folder = lab.lab.temporaryDirectory()
  const sign = join(folder, 'crash-now')
  const hook = join(folder, 'hook.cjs')
  writeFileSync(hook, `
    const { isMainThread } = require('node:worker_threads')
    const { _extensions: loaders } = require('node:module')
    const { existsSync, writeFileSync } = require('node:fs')
    const load = loaders['.node']
    if (!isMainThread) loaders['.node'] = (module, path) => {
      load(module, path)
      const { poll } = module.exports
      module.exports.poll = (...values) => {
        if (existsSync(process.env.TEST_CRASH)) throw new Error('made to fail by the test')
        if (existsSync(process.env.TEST_CRASH + '-not')) writeFileSync(process.env.TEST_CRASH + '-hung', '')
        while (existsSync(process.env.TEST_CRASH + '-not')) {}
        return poll(...values)
      }
    }`)
  return {
    crash: () => writeFileSync(sign, ''),
    hang: async () => {
      writeFileSync(`${sign}-not`, '')
      await until(() => Promise.resolve(existsSync(`${sign}-hung`)))
    },
    environment: { TEST_CRASH: sign },
    options: ['--require', hook],
  }
}

const startCrashing = async (...args: string[]): Promise<{ up: LabProcess } & CrashHook> => {
  const hook = crashHook()
  const command = [...hook.options, ...lab.upCommand(...args)]
  const up = lab.gateway.spawn(process.execPath, command, { env: { ...lab.environment, ...hook.environment } })
  await up.waitFor(/^ready$/m)
  return { up, ...hook }
}
