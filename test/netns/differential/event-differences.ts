/** Where the lines of `tsnat conntrack -E` differ from those of `conntrack -E` on a kernel gateway. Data of the test and of the document. */

export interface EventDifference {
  readonly id: string
  /** What the kernel's line has, what tsnat's has, and why. */
  readonly kernel: string
  readonly tsnat: string
  readonly why: string
  /** What is not compared. */
  readonly part: RegExp
}

export const EVENT_DIFFERENCES: readonly EventDifference[] = [
  {
    id: 'portid',
    kernel: 'A line that a program caused (`conntrack -D`) ends with `[USERSPACE] portid=N progname=P`, where N is the number of a netlink socket',
    tsnat: '`[USERSPACE] portid=N`, where N is the number of the process',
    why: 'The program speaks to tsnat by its control socket, which tells the process',
    part: / \[USERSPACE\] portid=.*$/,
  },
  {
    id: 'seconds-left',
    kernel: 'The seconds that a flow had left which ends before its time are rounded down, and of TCP those of the state before its last segment',
    tsnat: 'They may be one more, and are those of the state in which it ends',
    why: 'Flows are timed in whole seconds, by the state that they are in',
    part: /(?<=^\[DESTROY\] \S+ +\d+ )\d+ /,
  },
]
