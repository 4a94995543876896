// The programs of a berth, in what machines have that starts a process in 0.1 ms, tells exactly how it ended, and needs no compiler.

/**
 * Arguments: the files that take it into its cgroups. On descriptor 3, a socket, orders, each behind its length in 4 bytes, big end first:
 * cwd, input file, the user to become or nothing, number of arguments, program, arguments…, NAME=value…, all parted by NUL, which none of them can hold.
 * On stdout lines:
 *   ready OUT ERR          two fresh pipes stand open under these descriptors; whoever may follow /proc/PID/fd can open their read ends
 *   started PID            the program runs, writing into them
 *   failed TEXT            it could not be executed
 *   ended STATUS [quiet]   as wait(2) tells it; quiet: both pipes were at their ends by then, with nothing in them. Then `ready` again
 * The read ends stay open until the next order. A job gets a process group of its own and no descriptor but 0, 1 and 2: what the launcher
 * inherited it closes at its start, and what it opened is closed at exec. The end of its orders is its own end.
 *
 * Where jobs are users of their own, the launcher itself stays root, so that no job can signal, trace or read it, and the child changes
 * its user before the exec. The output pipes become the job's, which could not open /dev/stdout otherwise.
 */
export type LauncherName = 'python3' | 'perl'

/**
 * Starts a child without a copy of itself, which halves the price; since Python 3.8. That cannot change its user, unless the launcher
 * took that for its own real one meanwhile, and then a quick job could stop its launcher. So a user costs a fork, 0.16 ms.
 */
const PYTHON = `import errno, os, select, signal, sys
spawn, OPEN, DUP2 = os.posix_spawn, os.POSIX_SPAWN_OPEN, os.POSIX_SPAWN_DUP2
with open('/proc/self/comm', 'w') as name:
    name.write('swarm launcher')
for door in sys.argv[1:]:
    with open(door, 'w') as file:
        file.write('0')
os.closerange(4, 65536)
os.set_inheritable(3, False)
HANGUP = select.POLLHUP
IGNORED = [signal.SIGPIPE, signal.SIGXFSZ]
def fork(user, execute):
    heard, failed = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setpgid(0, 0)
            for number in IGNORED:
                signal.signal(number, signal.SIG_DFL)
            os.setgroups([])
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            execute()
        except OSError as error:
            os.write(failed, error.strerror.encode())
        finally:
            os._exit(127)
    os.close(failed)
    why = os.read(heard, 4096).decode()
    os.close(heard)
    if why:
        os.waitpid(pid, 0)
    return (0 if why else pid), why
def take(count):
    parts = b''
    while len(parts) < count:
        part = os.read(3, count - len(parts))
        if not part:
            sys.exit()
        parts += part
    return parts
before = b''
former = ()
while True:
    try:
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
    except OSError:
        os.write(1, before)
        raise
    os.write(1, before + b'ready %d %d\\n' % (out, err))
    order = take(int.from_bytes(take(4), 'big'))
    for end in former:
        os.close(end)
    former = out, err
    cwd, given, user, count, *rest = order.split(b'\\0')
    command, pairs = rest[:int(count)], dict(pair.split(b'=', 1) for pair in rest[int(count):])
    files = [(OPEN, 0, given, os.O_RDONLY, 0), (DUP2, out_end, 1), (DUP2, err_end, 2)]
    def start(*command):
        return spawn(command[0], command, pairs, file_actions=files, setpgroup=0, setsigdef=IGNORED)
    def become(*command):
        os.execve(command[0], command, pairs)
    def either(run):
        try:
            return run(*command)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            return run(b'/bin/sh', *command)
    def execute():
        os.chdir(cwd)
        os.dup2(os.open(given, os.O_RDONLY), 0)
        os.dup2(out_end, 1)
        os.dup2(err_end, 2)
        either(become)
    before = b''
    pid = 0
    try:
        if user:
            for end in out_end, err_end:
                os.fchown(end, int(user), int(user))
            pid, why = fork(int(user), execute)
        else:
            os.chdir(cwd)
            pid = either(start)
    except OSError as error:
        why = error.strerror
    for end in out_end, err_end:
        os.close(end)
    os.write(1, b'started %d\\n' % pid if pid else b'failed ' + why.encode() + b'\\n')
    if pid:
        status = os.waitpid(pid, 0)[1]
        ends = select.poll()
        ends.register(out, select.POLLIN)
        ends.register(err, select.POLLIN)
        quiet = ends.poll(0) in [[(out, HANGUP), (err, HANGUP)], [(err, HANGUP), (out, HANGUP)]]
        before = b'ended %d%s\\n' % (status, b' quiet' if quiet else b'')
`

/**
 * Calls of the kernel by number, where they are known. A fork costs by the pages that either side writes to before the exec, and Perl's
 * own words for these calls write to as many again: with them a job of nothing took 0.15 ms more.
 */
interface Calls {
  readonly read: number
  readonly close: number
  readonly pipe2: number
  readonly fchown: number
  readonly ppoll: number
  readonly setpgid: number
  readonly setgroups: number
  readonly setresgid: number
  readonly setresuid: number
  readonly chdir: number
  readonly openat: number
  readonly dup3: number
  readonly execve: number
}

const CALLS: Readonly<Partial<Record<string, Calls>>> = {
  x64: {
    ...{ read: 0, close: 3, execve: 59, chdir: 80, fchown: 93, setpgid: 109, setgroups: 116, setresuid: 117 },
    ...{ setresgid: 119, openat: 257, ppoll: 271, dup3: 292, pipe2: 293 },
  },
  arm64: {
    ...{ dup3: 24, chdir: 49, fchown: 55, openat: 56, close: 57, pipe2: 59, read: 63, ppoll: 73 },
    ...{ setresuid: 147, setresgid: 149, setpgid: 154, setgroups: 159, execve: 221 },
  },
}

/**
 * The first check is for another kind of Perl than the kernel's own, which would have other numbers. Perl ignores SIGFPE, and its jobs
 * would. In all of it 0x80000 is O_CLOEXEC, -100 AT_FDCWD, 8 ENOEXEC, 1 POLLIN and 16 POLLHUP.
 */
const PERL_START = `$0 = 'swarm launcher';
length pack('p', '') == 8 or exit 1;
$SIG{FPE} = 'DEFAULT';
opendir my $open, '/proc/self/fd' or exit 1;
for my $number (grep { /^\\d+$/ and $_ > 3 and $_ != fileno $open } readdir $open) {
  open my $inherited, '<&=', $number or exit 1;
}
closedir $open;
open my $orders, '<&=', 3 or exit 1;
for my $door (@ARGV) {
  open my $file, '>', $door or exit 1;
  syswrite $file, '0' or exit 1;
}
sub take {
  my ($count, $bytes) = (shift, '');
  while (length $bytes < $count) {
    sysread $orders, $bytes, $count - length $bytes, length $bytes or exit 0;
  }
  return $bytes;
}
sub tell_line { syswrite STDOUT, "@_\\n" or exit 0 }
my $at_once = pack 'JJ', 0, 0;
my ($before, @former) = ('');
`

/** Perl's own exec, behind the kernel's, gives a script without a first line to a shell. */
const perlChild = (calls: Calls) => `  if (defined $pid and $pid == 0) {
    syscall(${calls.setpgid}, 0, 0) == 0
      and (not defined $group
        or syscall(${calls.setgroups}, 1, $group) == 0
        and syscall(${calls.setresgid}, $user, $user, $user) == 0
        and syscall(${calls.setresuid}, $user, $user, $user) == 0)
      and syscall(${calls.chdir}, $cwd) == 0
      and ($input = syscall(${calls.openat}, -100, $input, 0x80000)) >= 0
      and syscall(${calls.dup3}, $input, 0, 0) == 0
      and syscall(${calls.dup3}, $out_end, 1, 0) == 1
      and syscall(${calls.dup3}, $err_end, 2, 0) == 2
      and syscall(${calls.execve}, $program, $argv, $envp) < 0
      and $! == 8
      and do {
        %ENV = map { split /=/, $_, 2 } @rest;
        exec { $program } @command;
      };
    my $why = "$!";
    open my $told, '>&=', $failed;
    syswrite $told, $why;
    kill 9, $$;
  }
`

/** All that can be made before the fork is. */
const perlWith = (calls: Calls) => `${PERL_START}while (1) {
  my @ends;
  for (1 .. 3) {
    my $two = "\\0" x 8;
    syscall(${calls.pipe2}, $two, 0x80000) == 0 or do { syswrite STDOUT, $before; exit 1 };
    push @ends, unpack 'ii', $two;
  }
  my ($out, $out_end, $err, $err_end, $heard, $failed) = @ends;
  tell_line $before . 'ready', $out, $err;
  $before = '';
  my $order = take(unpack 'N', take(4));
  syscall(${calls.close}, $_) for @former;
  @former = ($out, $err);
  my ($cwd, $input, $user, $count, @rest) = split /\\0/, $order, -1;
  my @command = splice @rest, 0, $count;
  my $program = $command[0];
  my ($argv, $envp) = map { pack('p*', @$_) . pack('J', 0) } \\@command, \\@rest;
  my $group = $user eq '' ? undef : pack 'L', $user += 0;
  if (defined $group) { syscall(${calls.fchown}, $_, $user, $user) for $out_end, $err_end }
  my $pid = fork;
${perlChild(calls)}  my $why = defined $pid ? '' : "$!";
  syscall(${calls.close}, $_) for $out_end, $err_end, $failed;
  if (defined $pid) {
    my $text = "\\0" x 4096;
    my $length = syscall(${calls.read}, $heard, $text, 4096);
    $why = substr $text, 0, $length if $length > 0;
  }
  syscall(${calls.close}, $heard);
  if ($why eq '') { tell_line 'started', $pid } else { tell_line 'failed', $why }
  next unless defined $pid;
  waitpid $pid, 0;
  next unless $why eq '';
  my $polled = pack 'ississ', $out, 1, 0, $err, 1, 0;
  $before = "ended $?";
  syscall(${calls.ppoll}, $polled, 2, $at_once, 0, 0);
  my (undef, undef, $of_out, undef, undef, $of_err) = unpack 'ississ', $polled;
  $before .= ($of_out == 16 and $of_err == 16) ? " quiet\\n" : "\\n";
}
`

/** The arguments in front of the cgroups' files; undefined where a machine like this one cannot run it. */
export function launcherArgs(name: LauncherName): readonly string[] | undefined {
  const calls = CALLS[process.arch]
  if (name === 'python3') return ['-I', '-S', '-c', PYTHON]
  return calls && ['-f', '-e', perlWith(calls)]
}

/** Best first. */
export const LAUNCHER_NAMES: readonly LauncherName[] = ['python3', 'perl']

/** Each child would look up the same names of functions again otherwise. A job gets an environment of its own. */
export const LAUNCHER_ENV = { LD_BIND_NOW: '1' }
