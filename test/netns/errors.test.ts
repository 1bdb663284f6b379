/** What stands in the way of a start: exactly one line that says what, one that says how to mend it, the right exit code, and nothing left. */
import { chmodSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ExitCode } from '../../src/errors.js'
import type { RunResult } from '../../src/testing/lab/index.js'
import { CLI, GATEWAY, GatewayLab, SERVER } from './gateway-support.js'

let lab: GatewayLab
let before: string[]
/** A run directory that anybody may use. */
let commonRuns: string
beforeAll(async () => {
  lab = await GatewayLab.create()
  commonRuns = lab.lab.temporaryDirectory()
  chmodSync(commonRuns, 0o777)
  await lab.ip(lab.gateway, 'tuntap add dev taken0 mode tun')
  before = await lab.snapshot()
})
afterAll(() => lab.close())

interface Refusal {
  code: number
  /** The first line, after `tsnat: `. */
  says: RegExp
  /** The second line, after `  hint: `. */
  hint: RegExp
}

const refused = async ({ code, stdout, stderr }: RunResult, expected: Refusal, during = before): Promise<void> => {
  expect({ code, stdout, lines: stderr.split('\n') }).toEqual({
    code: expected.code,
    stdout: '',
    lines: [expect.stringMatching(/^tsnat: /), expect.stringMatching(/^ {2}hint: /), ''],
  })
  const [first, second] = stderr.split('\n')
  expect(first!.slice('tsnat: '.length)).toMatch(expected.says)
  expect(second!.slice('  hint: '.length)).toMatch(expected.hint)
  expect(await lab.snapshot()).toEqual(during)
}

/** `tsnat up` behind another program, such as setpriv with its options. */
const upBehind = (program: readonly string[], ...args: string[]): Promise<RunResult> =>
  lab.run(lab.gateway, program[0]!, [...program.slice(1), process.execPath, ...lab.upCommand(...args)], { env: lab.environment })
const up = (...args: string[]): Promise<RunResult> => lab.run(lab.gateway, process.execPath, lab.upCommand(...args), { env: lab.environment })

describe('permissions', () => {
  it.each([
    ['net_admin', /^missing CAP_NET_ADMIN$/, 'cap_net_admin+ep'],
    ['net_raw', /^missing CAP_NET_RAW$/, 'cap_net_raw+ep'],
  ])('without CAP_%s', async (name, says, capability) => {
    const program = ['setpriv', `--bounding-set=-${name}`, `--inh-caps=-${name}`]
    await refused(await upBehind(program), { code: ExitCode.permission, says, hint: new RegExp(`^run as root, or give it to node: setcap ${capability.replace('+', '\\+')} `) })
    expect(lab.left()).toEqual([])
  })

  it('without CAP_SYS_ADMIN, which only another namespace needs', async () => {
    const program = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin']
    await refused(await upBehind(program, '--netns', lab.client.path), { code: ExitCode.permission, says: /namespace/, hint: /CAP_SYS_ADMIN|setcap/ })
  })

  it('as somebody else', async () => {
    const nobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    await refused(await upBehind(nobody), { code: ExitCode.permission, says: /^cannot make the folder .*: permission denied$|^missing CAP/, hint: /run .*as root/ })
    const elsewhere = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', 'env', `TSNAT_RUN_DIR=${commonRuns}`]
    await refused(await upBehind(elsewhere), { code: ExitCode.permission, says: /^missing CAP_NET_ADMIN and CAP_NET_RAW$/, hint: /^run as root/ })
    expect(readdirSync(commonRuns)).toEqual([])
  })
})

describe('/dev/net/tun', () => {
  /** A mount namespace in which /dev/net is what `mount` makes of it. */
  const privately = (mount: string): string[] => ['unshare', '-m', 'sh', '-c', `${mount}; exec "$@"`, 'sh']

  it('missing', async () => {
    await refused(await upBehind(privately('mount -t tmpfs none /dev/net')), {
      code: ExitCode.device, says: /^cannot open \/dev\/net\/tun: ENOENT$/, hint: /modprobe tun.*--device \/dev\/net\/tun/,
    })
  })

  it('something else', async () => {
    await refused(await upBehind(privately('mount --bind /dev/null /dev/net/tun')), {
      code: ExitCode.device, says: /^cannot make the TUN "tun0": ENOTTY$/, hint: /mknod \/dev\/net\/tun c 10 200/,
    })
  })

  it('forbidden', async () => {
    const asNobody = 'setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=+net_admin,+net_raw --ambient-caps=+net_admin,+net_raw '
      + `env TSNAT_RUN_DIR=${commonRuns}`
    const program = privately(`mount -t tmpfs none /dev/net; mknod -m 600 /dev/net/tun c 10 200; set -- ${asNobody} "$@"`)
    await refused(await upBehind(program), { code: ExitCode.permission, says: /^may not open \/dev\/net\/tun$/, hint: /^run as root.*chmod 666/ })
  })
})

describe('interfaces and addresses', () => {
  it('an unknown WAN: those that exist are named', async () => {
    await refused(await up('--wan', 'eth7'), { code: ExitCode.device, says: /^there is no interface "eth7"/, hint: /eth0/ })
  })

  it('an unknown interface to capture', async () => {
    await refused(await up('--capture', 'iif=eth1,eth8'), { code: ExitCode.device, says: /^there is no interface "eth8"/, hint: /eth1/ })
  })

  it('an unknown namespace', async () => {
    await refused(await up('--netns', 'nowhere'), { code: ExitCode.device, says: /^there is no network namespace "nowhere"$/, hint: /ip netns|known/ })
    await refused(await up('--netns', '/etc/hostname'), { code: ExitCode.device, says: /^"\/etc\/hostname" is not a network namespace$/, hint: /\/run\/netns/ })
  })

  it('a name for the TUN that is taken', async () => {
    await refused(await up('--lan', 'taken0'), { code: ExitCode.device, says: /^interface "taken0" exists already$/, hint: /--lan/ })
    await refused(await up('--lan', 'eth1', '--capture', 'none'), { code: ExitCode.device, says: /^interface "eth1" exists already$/, hint: /--lan/ })
  })

  it.each([
    ['--lan-address', '192.168.1.77/24', /^the LAN subnet 192\.168\.1\.0\/24 overlaps 192\.168\.1\.1\/24 of eth1$/],
    ['--lan-address', '203.0.113.130/25', /^the LAN subnet 203\.0\.113\.128\/25 overlaps 203\.0\.113\.1\/24 of eth0$/],
    ['--lan-address', '192.0.0.2/8', /^the LAN subnet 192\.0\.0\.0\/8 overlaps /],
  ])('%s %s: a clash', async (flag, address, says) => {
    await refused(await up(flag, address), { code: ExitCode.config, says, hint: /--lan-address, for example 10\.77\.0\.2\/24$/ })
  })

  it('an owned address that the kernel has', async () => {
    await refused(await up('--wan-address', `owned:${GATEWAY}/24`), { code: ExitCode.config, says: /to be tsnat's own address, but the kernel has it on eth0$/, hint: /shared/ })
  })

  it('a default route where one is to be made', async () => {
    await refused(await up('--netns', lab.client.path, '--lan-address', '10.78.0.2/24'), { code: ExitCode.config, says: /has a default route already$/, hint: /ip route del default/ })
  })

  it('the raw driver with an owned address', async () => {
    await refused(await up('--wan-driver', 'raw', '--wan-address', 'owned:203.0.113.50/24'), { code: ExitCode.usage, says: /raw.*owned address/, hint: /packet/ })
  })
})

describe('words', () => {
  it.each([
    [['--wan'], /argument missing/, /help/],
    [['--wan', 'eth0', '--lan-mtu', '100'], /lanMtu is 100, but must be/, /./],
    [['--wan', 'eth0', '--capture', 'iif='], /capture/, /./],
    [['--wan', 'eth0', '--ports', '70000'], /ports is "70000"/, /./],
    [['--wan', 'eth0', '--zork'], /unknown option '--zork'/, /help/],
    [['--wan', 'eth0', '--lan', 'eth0'], /lan and wan are both "eth0"/, /different names/],
    [['--wan', 'eth0', '--netns', '1', '--capture', 'iif=eth1'], /cannot go together/, /leave out capture/],
  ] as const)('%j', async (words, says, hint) => {
    await refused(await lab.tsnat('up', ...words), { code: ExitCode.usage, says, hint })
  })

  it('no WAN', async () => {
    await refused(await lab.tsnat('up'), { code: ExitCode.usage, says: /^no WAN interface is given$/, hint: /--wan eth0/ })
  })

  it('a wrong configuration file: the place in it is named', async () => {
    const file = join(lab.lab.temporaryDirectory(), 'tsnat.yaml')
    writeFileSync(file, 'wan: eth0\nlimits:\n  flosw: 3\n')
    await refused(await lab.tsnat('up', '--config', file), { code: ExitCode.config, says: /yaml:3:\d+: limits\.flosw is not a known key$/, hint: /did you mean "flows"\?/ })
    await refused(await lab.tsnat('up', '--config', '/nowhere.yaml'), { code: ExitCode.config, says: /\/nowhere\.yaml/, hint: /./ })
  })
})

describe('beside another instance', () => {
  let first: Awaited<ReturnType<GatewayLab['up']>>
  let during: string[]
  beforeAll(async () => {
    first = await lab.up('--capture', 'none')
    during = await lab.snapshot()
  })
  afterAll(async () => {
    first.kill('SIGINT')
    expect((await first.done).code).toBe(ExitCode.ok)
    expect(await lab.snapshot()).toEqual(before)
  })

  it('of the same name', async () => {
    await refused(await up('--lan', 'tun1', '--lan-address', '10.78.0.2/24'), {
      code: ExitCode.config, says: /^an instance named "default" is already running \(pid \d+\)$/, hint: /tsnat down --name default.*--name/,
    }, during)
  })

  it('with the same TUN', async () => {
    await refused(await up('--name', 'two', '--ports', '20000-21000'), {
      code: ExitCode.device, says: /^interface "tun0" exists already: it is the LAN of instance "default" \(pid \d+\)$/, hint: /--lan, for example tun1/,
    }, during)
  })

  it('with the same WAN and ports', async () => {
    await refused(await up('--name', 'two', '--lan', 'tun1', '--lan-address', '10.78.0.2/24', '--ports', '60000-61000'), {
      code: ExitCode.device, says: /^interface "eth0" is in use by instance "default" \(pid \d+\): both want ports 60000-60999$/, hint: /--ports/,
    }, during)
  })

  it('with the same subnet', async () => {
    await refused(await up('--name', 'two', '--lan', 'tun1', '--ports', '20000-21000'), {
      code: ExitCode.config, says: /^the LAN subnet 10\.77\.0\.0\/24 overlaps 10\.77\.0\.2\/24 of tun0$/, hint: /--lan-address, for example 10\.78\.0\.2\/24/,
    }, during)
  })

  it('with another run directory: the guard is in the way', async () => {
    const elsewhere = lab.lab.temporaryDirectory()
    const result = await lab.run(lab.gateway, process.execPath,
      [CLI, 'up', '--wan', 'eth0', '--lan', 'tun1', '--lan-address', '10.78.0.2/24', '--capture', 'none'], { env: { TSNAT_RUN_DIR: elsewhere } })
    await refused(result, { code: ExitCode.device, says: /^there is a netfilter table "tsnat-default" already$/, hint: /another --name/ }, during)
  })

  it('leaves the first one working', async () => {
    await lab.ip(lab.gateway, `route add ${SERVER}/32 dev tun0`)
    expect((await lab.gateway.run('ping', ['-c', '1', '-W', '5', SERVER])).code).toBe(0)
    expect((await lab.flows()).length).toBe(1)
  })
})

it('left nothing in the run directory', () => {
  expect(lab.left()).toEqual([])
})
