import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { openControlServer } from '../../src/api/server.js'
import { ExitCode } from '../../src/errors.js'
import { createGatewayDouble } from '../api/gateway-double.js'
import { serveGateway } from './gateway.js'
import { tsnat, tsnatWith } from './harness.js'

const served = serveGateway()

describe('the words of a tool', () => {
  it('are passed on as they are, and its answer comes back as it is', async () => {
    served.gateway.policyAnswer = { output: 'listed\n', errors: 'said\n', exitCode: 2, file: null }
    const words = ['-t', 'nat', '-A', 'POSTROUTING', '-N', '--json', '--name', 'x', '-h', '--', '!', '-V']
    expect(await tsnat('iptables', ...words)).toMatchObject({ code: 2, out: 'listed\n', err: 'said\n' })
    served.gateway.policyAnswer = { output: '', errors: '', exitCode: 255, file: null }
    expect(await tsnat('ip', '-j', 'route', 'show')).toMatchObject({ code: 255, out: '', err: '' })
    await tsnat('ipset', '-n', 'list')
    expect(served.gateway.commands).toEqual([
      { tool: 'iptables', argv: words, input: null },
      { tool: 'ip', argv: ['-j', 'route', 'show'], input: null },
      { tool: 'ipset', argv: ['-n', 'list'], input: null },
    ])
  })

  it('name the file that is read here, or standard input', async () => {
    const file = join(served.folder, 'lines')
    writeFileSync(file, 'text\n')
    const calls: [string[], string][] = [
      [['iptables-restore', '-c', file], file], [['iptables-restore', '--noflush'], 'standard input'],
      [['ip', '-force', '-batch', file], file], [['ip', '-b', '-'], 'standard input'],
      [['ipset', 'restore', '-f', file], file], [['ipset', '-!', 'restore'], 'standard input'],
    ]
    for (const [args, name] of calls) {
      expect(await tsnatWith('from outside', ...args)).toMatchObject({ code: 0, out: '', err: '' })
      expect(served.gateway.commands.at(-1)).toEqual({ tool: args[0], argv: args.slice(1), input: { name, text: name === file ? 'text\n' : 'from outside' } })
    }
  })

  it('name the file that is written here', async () => {
    const file = join(served.folder, 'saved')
    served.gateway.policyAnswer = { output: '*filter\n', errors: '', exitCode: 0, file }
    expect(await tsnat('iptables-save', '-f', file)).toMatchObject({ code: 0, out: '' })
    expect(readFileSync(file, 'utf8')).toBe('*filter\n')
    served.gateway.policyAnswer = { ...served.gateway.policyAnswer, file: join(served.folder, 'none', 'saved') }
    expect(await tsnat('iptables-save', '-f', 'x')).toMatchObject({ code: 1, err: `iptables-save: cannot write ${join(served.folder, 'none', 'saved')}: it or its folder does not exist\n` })
  })

  it.each([
    [['iptables-restore', '/none'], 1, 'iptables-restore: cannot read /none: it or its folder does not exist\n'],
    [['ip', '-batch', '/none'], 1, 'Cannot open file "/none" for reading: it or its folder does not exist\n'],
    [['ipset', 'restore', '-f', '/none'], 1, 'ipset: cannot read /none: it or its folder does not exist\n'],
    [['iptables-restore', '--tset'], 2, 'iptables-restore: unknown option "--tset"\n  did you mean "--test"?\n'],
    [['iptables-save', 'x'], 2, 'iptables-save: "x" stands where an option is expected\n'],
    [['ipset', 'lost'], 1, 'ipset: unknown command "lost"\n'],
  ])('that cannot be asked at all: %j', async (args, code, message) => {
    const { code: actual, out, err } = await tsnat(...args)
    expect({ actual, out, err: err.slice(0, message.length) }).toEqual({ actual: code, out: '', err: message })
    expect(served.gateway.commands).toEqual([])
  })
})

describe('the gateway', () => {
  it('is named before the words, or by the environment', async () => {
    const other = createGatewayDouble()
    const path = join(served.folder, 'other.sock')
    const second = await openControlServer({ name: 'other', path, onError: () => {} })
    second.attach(other)
    await tsnat('ip', '--name', 'default', 'rule')
    await tsnat('ip', '--socket', path, 'rule')
    await tsnat('ip', `--socket=${path}`, '--name=lab', 'route')
    expect([served.gateway.commands.length, other.commands.map(({ argv }) => argv)]).toEqual([1, [['rule'], ['route']]])
    await second.close()
    expect(await tsnat('ip', '--name', 'other', 'rule')).toMatchObject({ code: ExitCode.notRunning, err: expect.stringContaining('no instance named "other" is running') as string })
    vi.stubEnv('TSNAT_NAME', 'other')
    expect(await tsnat('ip', 'rule')).toMatchObject({ code: ExitCode.notRunning })
    vi.stubEnv('TSNAT_NAME', '')
    expect(await tsnat('ip', 'rule')).toMatchObject({ code: 0 })
    expect(await tsnat('ip', '--name', '../x', 'rule')).toMatchObject({ code: ExitCode.usage, err: expect.stringContaining('"../x" is not the name of an instance') as string })
    expect(await tsnat('ip', '--socket')).toMatchObject({ code: ExitCode.usage, err: expect.stringContaining('--socket needs a value') as string })
  })
})

describe('help', () => {
  it.each([
    ['iptables', '--help'], ['iptables', '-h'], ['iptables-save', '--help'], ['iptables-restore', '-h'], ['ip', 'help'], ['ip', '--help'], ['ipset', 'help'], ['ipset', '--help'],
  ])('of %s %s needs no gateway', async (tool, word) => {
    vi.stubEnv('TSNAT_RUN_DIR', '/nonexistent/tsnat')
    const { code, out, err } = await tsnat(tool, word)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(new RegExp(`^Usage: tsnat ${tool}`))
    expect(out).toContain('--name NAME or --socket PATH, before all other words')
  })

  it('lists the tools among the commands', async () => {
    const { out } = await tsnat('--help')
    for (const tool of ['iptables', 'iptables-save', 'iptables-restore', 'ip', 'ipset']) expect(out).toMatch(new RegExp(`^  ${tool} \\[words\\.\\.\\.\\]`, 'm'))
    expect(await tsnat('iptables', '-V')).toMatchObject({ code: 0, out: expect.stringMatching(/^iptables v/) as string })
  })
})
