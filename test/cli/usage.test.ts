import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import { version } from '../../src/version.js'
import { tsnat } from './harness.js'

// No instance runs there.
beforeEach(() => void vi.stubEnv('TSNAT_RUN_DIR', '/nonexistent/tsnat'))
afterEach(() => void vi.unstubAllEnvs())

describe('help', () => {
  it('tells the version', async () => {
    expect(await tsnat('--version')).toMatchObject({ code: ExitCode.ok, out: `${version()}\n`, err: '' })
    expect(version()).toMatch(/^\d+\.\d+\.\d+/)
  })

  it('lists the commands and how to begin', async () => {
    const { code, out } = await tsnat('--help')
    expect(code).toBe(ExitCode.ok)
    for (const command of ['up', 'down', 'status', 'conntrack', 'capture', 'demo']) expect(out).toMatch(new RegExp(`^  ${command}\\b`, 'm'))
    expect(out).toContain('sudo tsnat up --wan eth0 --lan tun0')
  })

  it.each(['up', 'down', 'status', 'conntrack', 'capture', 'demo'])('of %s has examples', async (command) => {
    const { code, out, err } = await tsnat(command, '--help')
    expect({ code, err }).toEqual({ code: ExitCode.ok, err: '' })
    expect(out).toMatch(/\nExamples:\n {2}(sudo )?tsnat /)
  })

  it('is the answer to no command at all, as an error', async () => {
    const { code, out, err } = await tsnat()
    expect({ code, out }).toEqual({ code: ExitCode.usage, out: '' })
    expect(err).toContain('Usage: tsnat')
  })
})

describe('usage errors', () => {
  it.each([
    [['stauts'], "unknown command 'stauts'", 'did you mean status?'],
    [['status', '--jsn'], "unknown option '--jsn'", 'did you mean --json?'],
    [['status', '--name', 'A B'], "option '-N, --name <name>' argument 'A B' is invalid. A name is 1 to 15 characters", 'see "tsnat --help"'],
    [['status', '--name', '../x'], "argument '../x' is invalid", 'see "tsnat --help"'],
    [['status', '--wait', 'long'], "argument 'long' is invalid", 'see "tsnat --help"'],
    [['status', 'extra'], 'too many arguments', 'see "tsnat --help"'],
    [['capture'], "required option '-w, --write <file>' not specified", 'see "tsnat --help"'],
    [['capture', '-w', 'x', '-i', 'left'], "argument 'left' is invalid. Allowed choices are lan, wan, both", 'see "tsnat --help"'],
    [['capture', '-w', 'x', '-c', '-1'], "argument '-1' is invalid", 'see "tsnat --help"'],
    [['conntrack'], 'conntrack wants exactly one of -L, -C, -D and -E', 'list with -L'],
    [['conntrack', '-L', '-C'], 'conntrack wants exactly one of -L, -C, -D and -E', 'list with -L'],
    [['conntrack', '-L', 'expect'], 'there is no table "expect"', 'the only table is conntrack'],
    [['conntrack', '-L', '-o', 'xml'], '--output: "xml" is not known', 'extended, id'],
    [['conntrack', '-L', '-p', 'ipx'], '--proto: "ipx" is not a protocol', 'one of tcp, udp, icmp, udplite, sctp, gre, esp, ah, or a number up to 255'],
    [['conntrack', '-L', '--src', 'x'], '--orig-src: "x" is not an IPv4 address or prefix', 'for example'],
    [['conntrack', '-L', '--dport', 'http'], '--orig-port-dst: "http" is not a number from 0 to 65535', 'decimal'],
    [['conntrack', '-L', '-f', 'ipv6'], "argument 'ipv6' is invalid", 'see "tsnat --help"'],
    [['conntrack', '-C', '-p', 'tcp'], 'conntrack -C counts all flows and takes no filter', 'list with -L'],
    [['up', '--wan', 'eth0', '--timeout', 'udp'], '--timeout udp: there is no "="', 'write --timeout NAME=VALUE'],
    [['up', '--wan', 'eth0', '--lan-offload', 'maybe'], "argument 'maybe' is invalid. Allowed choices are on, off", 'see "tsnat --help"'],
    [['up'], 'no WAN interface is given', 'name it with --wan eth0'],
    [['up', '--wan', 'eth0', '--limit', 'flow=1'], '--limit flow: limits.flow is not a known key', 'did you mean "flows"?'],
  ])('%j', async (args, message, hint) => {
    const { code, out, err } = await tsnat(...args)
    expect({ code, out }).toEqual({ code: ExitCode.usage, out: '' })
    const [first, second] = err.split('\n')
    expect(first).toContain(`tsnat: `)
    expect(first).toContain(message)
    expect(second).toContain(`  hint: ${hint}`)
  })

  it('are JSON with --json', async () => {
    const { code, err } = await tsnat('conntrack', '-L', '-p', 'ipx', '--json')
    expect(code).toBe(ExitCode.usage)
    expect(JSON.parse(err)).toEqual({ code: 'BAD_FILTER', message: '--proto: "ipx" is not a protocol', hint: 'one of tcp, udp, icmp, udplite, sctp, gre, esp, ah, or a number up to 255', exitCode: 64 })
    expect(JSON.parse((await tsnat('status', '--json', '--zork')).err)).toMatchObject({ code: 'USAGE', exitCode: 64 })
  })
})

describe('without a running instance', () => {
  it.each([['status'], ['conntrack', '-L'], ['conntrack', '-C'], ['capture', '-w', '/dev/null'], ['down']])('%s exits with 3', async (...args) => {
    const { code, out, err } = await tsnat(...args)
    expect({ code, out }).toEqual({ code: ExitCode.notRunning, out: '' })
    expect(err).toBe('tsnat: no instance named "default" is running\n  hint: start it with "tsnat up --wan INTERFACE"\n')
  })

  it('status --wait gives up after its time', async () => {
    const { code, err } = await tsnat('status', '--wait', '0')
    expect(code).toBe(ExitCode.failure)
    expect(err).toContain('instance "default" was not ready after 0 s: no instance named "default" is running')
  })
})
