/** A gateway's life as its operator sees it: the built command line, in a namespace with a WAN. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import { Lab } from '../../src/testing/lab/index.js'
import type { LabNamespace, LabProcess, RunResult } from '../../src/testing/lab/index.js'

const cli = join(dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'cli.js')

let lab: Lab
let gateway: LabNamespace
let runs: string
let before: string[]

beforeEach(async () => {
  lab = await Lab.create(`cli${process.pid}`)
  gateway = await lab.namespace('gateway')
  const server = await lab.namespace('server')
  await lab.link(gateway, { name: 'eth0', address: '203.0.113.1/24' }, server, { name: 'eth0', address: '203.0.113.9/24' })
  await gateway.route('default', '203.0.113.9')
  runs = lab.temporaryDirectory()
  before = await gateway.snapshot()
})
afterEach(async () => {
  // A detached gateway is no child of ours; the laboratory does not know it.
  for (const name of readdirSync(runs)) await tsnat('down', '--name', name)
  await lab.close()
})

const environment = (): Record<string, string> => ({ TSNAT_RUN_DIR: runs })
const tsnat = (...args: string[]): Promise<RunResult> => gateway.run(process.execPath, [cli, ...args], { env: environment(), timeout: 20_000 })
const start = (...args: string[]): LabProcess => gateway.spawn(process.execPath, [cli, 'up', '--wan', 'eth0', ...args], { env: environment() })
const left = (name = 'default'): string[] => (existsSync(join(runs, name)) ? readdirSync(join(runs, name)) : [])

describe('tsnat up in the foreground', () => {
  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('says ready, serves its control socket, and undoes everything at %s', async (signal) => {
    const up = start()
    await up.waitFor(/^ready$/m)
    const status = JSON.parse((await tsnat('status', '--json')).stdout) as { state: string; pid: number }
    expect(status.state).toBe('ready')
    expect((await tsnat('conntrack', '-C')).stdout).toMatch(/^\d+\n$/)
    process.kill(status.pid, signal)
    expect((await up.done).code).toBe(ExitCode.ok)
    expect(await gateway.snapshot()).toEqual(before)
    expect(left()).toEqual([])
  })

  it('ends by tsnat down', async () => {
    const up = start()
    await up.waitFor(/^ready$/m)
    expect(await tsnat('down')).toMatchObject({ code: ExitCode.ok, stdout: expect.stringMatching(/^tsnat default stopped \(pid \d+\)\n$/) })
    expect((await up.done).code).toBe(ExitCode.ok)
    expect((await tsnat('down')).code).toBe(ExitCode.notRunning)
    expect(await gateway.snapshot()).toEqual(before)
  })

  it('goes on when nobody reads its output', async () => {
    const script = `${process.execPath} ${cli} up --wan eth0 2>&1 | true`
    const up = gateway.spawn('sh', ['-c', script], { env: environment() })
    expect((await tsnat('status', '--wait', '10')).code).toBe(ExitCode.ok)
    expect((await tsnat('down')).code).toBe(ExitCode.ok)
    await up.done
  })

  it('refuses a second instance of its name before it touches anything', async () => {
    const up = start()
    await up.waitFor(/^ready$/m)
    const during = await gateway.snapshot()
    expect(await tsnat('up', '--wan', 'eth0', '--lan', 'tun1')).toMatchObject({ code: ExitCode.config, stdout: '', stderr: expect.stringContaining('already running (pid ') })
    expect(await gateway.snapshot()).toEqual(during)
    expect((await tsnat('status')).code).toBe(ExitCode.ok)
  })

  it('tells the service manager', async () => {
    const socket = join(runs, '..', `notify-${process.pid}.sock`)
    const manager = gateway.spawn('socat', ['-u', `UNIX-RECV:${socket},unlink-close`, 'STDOUT'])
    await expect.poll(() => existsSync(socket)).toBe(true)
    const up = gateway.spawn(process.execPath, [cli, 'up', '--wan', 'eth0'], { env: { ...environment(), NOTIFY_SOCKET: socket } })
    await manager.waitFor(/READY=1/)
    await tsnat('down')
    expect((await up.done).code).toBe(ExitCode.ok)
    await manager.waitFor(/STOPPING=1/)
  })
})

describe('tsnat up --detach', () => {
  it('returns when packets flow and names the pid', async () => {
    const { code, stdout } = await tsnat('up', '--wan', 'eth0', '--detach', '--json')
    expect(code).toBe(ExitCode.ok)
    const { pid } = JSON.parse(stdout) as { pid: number }
    expect(JSON.parse((await tsnat('status', '--json')).stdout)).toMatchObject({ pid, state: 'ready' })
    expect(readFileSync(join(runs, 'default', 'log'), 'utf8')).toMatch(/^ready$/m)
    expect((await tsnat('up', '--wan', 'eth0', '--detach')).code).toBe(ExitCode.config)
    expect((await tsnat('down')).code).toBe(ExitCode.ok)
    expect(left()).toEqual(['log'])
    expect(await gateway.snapshot()).toEqual(before)
  })

  it('relays the error and the exit code of the gateway', async () => {
    const direct = await tsnat('up', '--wan', 'missing0')
    const detached = await tsnat('up', '--wan', 'missing0', '--detach')
    expect(detached).toMatchObject({ code: ExitCode.device, stdout: '' })
    expect(detached.stderr).toContain('missing0')
    expect(detached.stderr.trimEnd().split('\n').slice(-2)).toEqual(direct.stderr.trimEnd().split('\n').slice(-2))
    expect(await gateway.snapshot()).toEqual(before)
  })
})

it('kill -9, then down: the host is as before', async () => {
  const up = start()
  await up.waitFor(/^ready$/m)
  const { pid } = JSON.parse((await tsnat('status', '--json')).stdout) as { pid: number }
  process.kill(pid, 'SIGKILL')
  await up.done
  expect((await tsnat('status')).code).toBe(ExitCode.notRunning)
  expect(await tsnat('down')).toMatchObject({ code: ExitCode.ok, stdout: expect.stringContaining('was not running; undoing what it left:') })
  expect(await gateway.snapshot()).toEqual(before)
  expect(left()).toEqual([])
})

it('without the right to change the network: one line, a hint, exit code 77', async () => {
  const result = await gateway.run('setpriv', ['--bounding-set=-all', '--inh-caps=-all', process.execPath, cli, 'up', '--wan', 'eth0'], { env: environment() })
  expect(result).toMatchObject({ code: ExitCode.permission, stdout: '' })
  expect(result.stderr.trimEnd().split('\n').slice(-2)).toEqual([expect.stringMatching(/^tsnat: /), expect.stringMatching(/^ {2}hint: /)])
  expect(left()).toEqual([])
})
