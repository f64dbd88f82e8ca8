#!/usr/bin/perl

# mc_status control=on: what an operator asks for over HTTP, what it does to
# media, and what it outlives.

use strict;
use warnings;

use Fcntl qw/ F_SETLK F_WRLCK SEEK_SET /;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use JSON::PP;
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $SECRET = 'tHe-SecReT-of-all';

my %flow = (

    media => '
        mc_source  udp://127.0.0.1:%%media%%;
        mc_output  one    udp://127.0.0.1:%%media_1%%;
        mc_output  two    udp://127.0.0.1:%%media_2%%;
        mc_output  three  srt://:%%media_3%%;',

    peers => "
        mc_source  srt://:%%peers%%  passphrase=$SECRET;
        mc_output  out  srt://:%%peers_o%%  passphrase=$SECRET  streamid=x;",

    both => '
        mc_source  udp://127.0.0.1:%%both%%;
        mc_source  udp://127.0.0.1:%%both_b%%  backup;
        mc_output  o  udp://127.0.0.1:%%both_o%%;
        mc_output  o  udp://127.0.0.1:%%both_ob%%  backup;
        mc_output  p  udp://127.0.0.1:%%both_p%%  off;
        mc_output  p  udp://127.0.0.1:%%both_pb%%  backup;',

    off => '
        mc_state   off;
        mc_source  udp://127.0.0.1:%%off%%;
        mc_source  udp://127.0.0.1:%%off_b%%  backup off;
        mc_output  o  udp://127.0.0.1:%%off_o%%;',

    idle => '
        mc_source  udp://127.0.0.1:%%idle%%;',
);

sub flows {
    my %f = (%flow, @_);

    return join '', map { "mc_flow $_ { $f{$_} }\n" }
                    grep { defined $f{$_} } sort keys %f;
}

# with another setting; the rest as it was

sub with {
    my ($name, $from, $to) = @_;

    my $text = $flow{$name};
    $text =~ s/$from/$to/ or die "no $from in $name";

    return ($name => $text);
}

my $t = MC->new(workers => 2, control => 1, flows => flows(), http_conf => '
    location /ro { mc_status; }
    location /limited {
        mc_status control=on;
        limit_except GET { deny all; }
    }
    location /granted {
        mc_status control=on;
        limit_except GET { allow 127.0.0.1; deny all; }
    }
    location /if {
        mc_status control=on;
        if ($arg_x) { set $y 1; }
    }
    location /mirrored {
        mirror /mc/flows/both/stop;
        proxy_pass http://127.0.0.1:%%http%%/mc;
    }
');

my $state = $t->dir . '/nginx.pid.mc.state';

# status, state_by

sub is_flow {
    my ($name, $status, $by, $why) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $f = $t->flow($name) || {};
    is("$f->{status} by $f->{state_by}", "$status by $by", $why);

    return $f;
}

# what each destination of an output is: "p stopped operator"

sub outputs {
    my ($name, $output) = @_;

    return join ', ', map { "$_->{state} by $_->{state_by}" }
                      grep { $_->{name} eq $output }
                      @{ $t->flow($name)->{outputs} };
}

sub post_ok {
    my ($path, $why) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r = $t->post("/flows/$path");
    is($r->{status}, 200, $why || "POST $path") or diag($r->{content});

    return $r->{status} == 200 ? decode_json($r->{content}) : {};
}

sub code {
    my ($r) = @_;

    my $e = eval { decode_json($r->{content}) } || {};

    return "$r->{status} " . ($e->{error} ? $e->{error}{code} : '');
}


# nginx -t

sub conf {
    my ($location, %args) = @_;

    return $t->test_conf(flows(), http_conf => $location, control => 0, %args);
}

for my $bad (['control=off', qr/"control"/], ['control', qr/"control"/],
             ['control=', qr/"control"/], ['control=onn', qr/"control"/],
             ['controls=on', qr/unknown parameter "controls"/],
             ['other=hidden', qr/unknown parameter "other"/],
             ['control=on control=on', qr/duplicate parameter "control"/])
{
    my ($exit, $out) = conf("location /c { mc_status $bad->[0]; }");
    ok($exit != 0 && $out =~ /\[emerg\].*$bad->[1].* in \S+test\.conf:\d+/,
       "refused: mc_status $bad->[0]") or diag($out);
    unlike($out, qr/hidden/, 'without the value') if $bad->[0] =~ /hidden/;
}

my $warning = qr/\[warn\].*control=on.*unprotected.* in \S+test\.conf:\d+/;

for my $c (['', 1],
           ['allow 127.0.0.1; deny all;', 0],
           ['deny ::1;', 0],
           ['allow unix:; deny unix:;', 0],
           ['auth_basic "x"; auth_basic_user_file x;', 0],
           ['auth_request /auth;', 0],
           ['limit_except GET { deny all; }', 0],
           ['limit_except POST { deny all; }', 1],
           ['internal;', 0])
{
    my ($exit, $out) = conf("location /c { mc_status control=on; $c->[0] }");
    is($exit, 0, "accepted: $c->[0]") or diag($out);
    is($out =~ $warning ? 1 : 0, $c->[1], 'and is protected or not');
}

my ($exit, $out) = conf('allow 127.0.0.1; deny all;
                         location /c { mc_status control=on; }');
unlike($out, $warning, 'the server is protected');

($exit, $out) = conf('location /c { mc_status; }');
unlike($out, $warning, 'nothing to protect without control');


# methods, and what is unknown

my $r;

for my $c (['GET', '/flows/media/stop', '405 method_not_allowed'],
           ['HEAD', '/flows/media/stop', '405 '],
           ['PUT', '/flows/media/outputs/one/stop', '405 method_not_allowed'],
           ['DELETE', '/flows/both/source/auto', '405 method_not_allowed'],
           ['OPTIONS', '/flows/media/stop', '405 method_not_allowed'],
           ['POST', '/flows/media', '405 method_not_allowed'],
           ['POST', '', '405 method_not_allowed'],
           ['POST', '/flows/none/stop', '404 not_found'],
           ['POST', '/flows/media/outputs/none/stop', '404 not_found'],
           ['POST', '/flows/media/outputs/source/stop', '404 not_found'],
           ['POST', '/flows/media/outputs//stop', '404 not_found'],
           ['POST', '/flows/media/source/backup', '404 not_found'],
           ['POST', '/flows/off/source/backup', '404 not_found'],
           ['POST', '/flows/both/source/other', '404 not_found'],
           ['POST', '/flows/both/sources/auto', '404 not_found'],
           ['POST', '/flows/media/restart', '404 not_found'],
           ['POST', '/flows/media/stop/x', '404 not_found'],
           ['POST', '/flows/idle/stop', '409 no_outputs'],
           ['POST', '/flows/idle/start', '409 no_outputs'],
           ['POST', '/flows/idle/source/primary', '409 no_outputs'],
           ['POST', '/flows/idle/source/backup', '404 not_found'],
           ['POST', '/flows/idle/outputs/x/stop', '404 not_found'])
{
    my ($method, $path, $expected) = @$c;

    $r = $t->http($method, $path);
    is(code($r), $expected, "$method $path");

    is($r->{headers}{allow}, $path =~ /stop|auto/ ? 'POST' : 'GET, HEAD',
       'and what is allowed') if $r->{status} == 405;
}

is_flow('media', 'running', 'config', 'all that changed nothing');


# locations

sub at {
    my ($method, $path, %headers) = @_;

    my $http = HTTP::Tiny->new(timeout => 10, proxy => undef,
                               http_proxy => undef, https_proxy => undef);

    return $http->request($method, 'http://127.0.0.1:' . $t->port('http')
                                   . $path, { headers => \%headers });
}

is(code(at('POST', '/ro/flows/media/stop')), '403 control_off',
   'not where control is not on');
is(at('POST', '/limited/flows/media/stop')->{status}, 403, 'limit_except');
is(at('GET', '/limited/flows/media')->{status}, 200, 'limits POST only');
is(at('POST', '/granted/flows/media/start')->{status}, 200,
   'limit_except that allows');
is(at('POST', '/if/flows/media/start?x=1')->{status}, 200,
   'a location with "if"');

is(at('POST', '/mirrored')->{status}, 405, 'a request that is mirrored');
is_flow('both', 'running', 'config', 'the mirror stops nothing');


# other sites; the headers are ours, HTTP::Tiny has its own mind about Host

sub raw {
    my ($path, %headers) = @_;

    $headers{Host} = 'x' unless exists $headers{Host};
    $headers{Connection} = 'close';
    $headers{'Content-Length'} = 0;

    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1', Timeout => 5,
                                PeerPort => $t->port('http')) or return {};

    print $s "POST /mc$path HTTP/1.1\r\n";

    for my $name (sort keys %headers) {
        my $values = $headers{$name};
        print $s "$name: $_\r\n" for ref $values ? @$values : $values;
    }

    print $s "\r\n";

    local $/;
    my $text = <$s>;
    my ($status, $head, $content)
        = $text =~ m!^HTTP/1.1 (\d+)[^\n]*\n(.*?)\r\n\r\n(.*)!s;

    return { status => $status, head => $head, content => $content };
}

my $host = '127.0.0.1:' . $t->port('http');

for my $c ([200, Host => 'other'],
           [200, Origin => "http://$host"],
           [200, Origin => "https://$host"],
           [200, Origin => "HTTP://$host"],
           [200, Origin => 'https://mc.example.com', Host => 'MC.example.com'],
           [200, Origin => 'https://mc.example.com',
            Host => 'mc.example.com:443'],
           [200, Origin => 'http://mc.example.com',
            Host => 'mc.example.com:80'],
           [200, 'Sec-Fetch-Site' => 'same-origin'],
           [200, 'Sec-Fetch-Site' => 'none'],
           [200, Origin => "http://$host", 'Sec-Fetch-Site' => 'same-origin'],
           [403, Origin => 'null'],
           [403, Origin => ''],
           [403, Origin => 'http://'],
           [403, Origin => $host],
           [403, Origin => 'http://evil.example.com'],
           [403, Origin => "http://$host.evil.example.com"],
           [403, Origin => "http://evil.example.com/$host"],
           [403, Origin => 'http://127.0.0.1'],
           [403, Origin => 'http://127.0.0.1:1'],
           [403, Origin => 'https://mc.example.com',
            Host => 'mc.example.com:80'],
           [403, Origin => 'https://mc.example.com',
            Host => 'mc.example.com:8443'],
           [403, Origin => "file://$host"],
           [403, 'Sec-Fetch-Site' => 'cross-site'],
           [403, 'Sec-Fetch-Site' => 'same-site'],
           [403, 'Sec-Fetch-Site' => ''],
           [403, Origin => "http://$host", 'Sec-Fetch-Site' => 'cross-site'],
           [403, Origin => ["http://$host", 'http://evil.example.com']])
{
    my ($status, %headers) = (shift @$c, Host => $host, @$c);

    $r = raw('/flows/media/outputs/one/start', %headers);
    is(code($r), $status == 200 ? '200 ' : '403 cross_site',
       join(' ', map { ref $_ ? @$_ : $_ } %headers));
}

unlike($r->{head}, qr/access-control/i, 'no CORS');

$r = $t->http('GET', '/flows/media',
              headers => { Origin => 'null', 'Sec-Fetch-Site' => 'cross-site' });
is($r->{status}, 200, 'GET does not mind');


# bodies

$r = $t->post('/flows/media/outputs/one/start', content => 'x' x 300_000);
is($r->{status}, 200, 'a body is discarded');

$r = $t->post('/flows/media/outputs/one/start', content => sub { undef });
is($r->{status}, 200, 'so is an empty one in chunks');


# flow and outputs, and who says so

my $f = post_ok('both/stop');
is($f->{name}, 'both', 'the flow answers');
is_deeply([sort keys %$f], [sort keys %{ $t->flow('both') }],
          'with all of it');
is($f->{status}, 'stopped', 'stopped');
is($f->{state_by}, 'operator', 'by the operator');
is($f->{health}, undef, 'without health');
is($f->{started_at}, undef, 'not started');
is(join(' ', map { $_->{state} } @{ $f->{sources} }, @{ $f->{outputs} }),
   'stopped stopped stopped stopped stopped stopped', 'nothing of it runs');

is(post_ok('both/stop', 'stopped twice')->{state_by}, 'operator', 'is stopped');

$f = post_ok('both/start');
is("$f->{status} $f->{state_by}", 'running config', 'as configured again');
ok($f->{started_at}, 'started');

is(outputs('both', 'o'), 'connected by config, connected by config', 'runs');
post_ok('both/outputs/o/stop');
is(outputs('both', 'o'), 'stopped by operator, stopped by operator',
   'both destinations are stopped');
is_flow('both', 'running', 'config', 'of a flow that runs');
post_ok('both/outputs/o/start');
is(outputs('both', 'o'), 'connected by config, connected by config',
   'and started');

is(outputs('both', 'p'), 'stopped by config, connected by config', 'half off');
post_ok('both/outputs/p/start');
is(outputs('both', 'p'), 'connected by operator, connected by config',
   'an operator starts what is off');
post_ok('both/outputs/p/stop');
is(outputs('both', 'p'), 'stopped by config, stopped by operator',
   'and stops what is not');
post_ok('both/outputs/p/start');

is_flow('off', 'stopped', 'config', 'mc_state off');
$f = post_ok('off/start');
is("$f->{status} $f->{state_by}", 'running operator', 'an operator starts it');
$f = post_ok('off/stop');
is("$f->{status} $f->{state_by}", 'stopped config', 'and stops it');


# an output that was stopped is no reason for anything

my @feed = map { $t->mcpkt('send', "udp://127.0.0.1:%%$_%%", '--rate', '200k',
                           '--seconds', 100) } qw/ both both_b media /;

my $listener = $t->mcpkt('recv', 'srt://127.0.0.1:%%media_3%%', '--reconnect',
                         '--wait', 60, '--seconds', 100);

$t->wait_for(sub { ($t->flow('both')->{health} || '') eq 'ok' }, 8,
             'all is well');
post_ok('both/outputs/p/stop');
$f = post_ok('both/outputs/o/stop');
is_deeply($f->{reasons}, [], 'no reason to complain');
post_ok("both/outputs/$_/start") for qw/ o p /;


# the source by hand

is($t->flow('both')->{active_source}, 'primary', 'the primary source');
is(post_ok('both/source/backup')->{active_source}, 'backup', 'the other');
is(post_ok('both/source/backup')->{active_source}, 'backup', 'still');
is(post_ok('both/source/primary')->{active_source}, 'primary', 'the first');
is(post_ok('both/source/auto')->{active_source}, 'primary', 'any');

$feed[0]->stop;
$t->wait_for(sub { $t->source('both')->{state} eq 'waiting' }, 8,
             'the primary source is gone');

for my $c (['auto', 'down', 'ok'], ['backup', 'degraded', 'ok'],
           ['primary', 'down', 'down'], ['backup', 'degraded', 'ok'])
{
    my $p = post_ok("both/source/$c->[0]")->{pipelines};
    is("$p->{primary}{health} $p->{backup}{health}", "$c->[1] $c->[2]",
       'the health of both');
}

is($t->flow('both')->{active_source}, 'backup', 'the other again');

is($t->read_file($state) =~ /^ngx_mc_module\ state\ 1\n
                              output\ both\ p\ primary\ start\n
                              source\ both\ backup\n
                              sum\ [0-9a-f]{16}\n\z/x
   || $t->read_file($state) =~ /^ngx_mc_module\ state\ 1\n
                                source\ both\ backup\n
                                output\ both\ p\ primary\ start\n
                                sum\ [0-9a-f]{16}\n\z/x, 1, 'the state file')
    or diag($t->read_file($state));

my ($mode, $uid) = (stat $state)[2, 4];
is($mode & 07777, 0600, 'is private');
is($uid, (stat $t->dir . '/nginx.pid.mc.lock')[4],
   'and belongs to the user of the workers');

# while another process writes it; the lock is that of F_SETLK

my $lock = pack 's s x4 q q i x4', F_WRLCK, SEEK_SET, 0, 0, 0;

SKIP: {
    open my $fh, '+<', $state or skip 'no rights', 4;
    fcntl $fh, F_SETLK, $lock or skip 'no lock', 4;

    # not by another handle: to close that would end the lock

    my $text = sub { local $/; seek $fh, 0, 0; return scalar <$fh> };
    my $before = $text->();

    post_ok('media/outputs/one/stop', 'the lock is not waited for');
    post_ok('media/stop');
    is($text->(), $before, 'the file is');

    close $fh;
    $t->wait_for(sub { $t->read_file($state)
                       =~ /^flow media stop\noutput media one primary stop$/m },
                 5, 'and is written then');
}

post_ok($_) for qw{ media/start media/outputs/one/start };


# any worker answers for any flow

my %pids;

for (1 .. 40) {
    post_ok("$_/start", "POST to $_") for qw/ media peers /;

    my $log = $t->log;
    $pids{$1}{$2} = 1
        while $log =~ /\] (\d+)#\d+: .*an operator \w+ flow "(\w+)"/g;

    last if grep {
        my $flow = $_;
        my $pid = $t->flow($flow)->{pid};
        grep { $_ != $pid && $pids{$_}{$flow} } keys %pids;
    } qw/ media peers /;
}

ok((grep { my $pid = $_;
           grep { $t->flow($_)->{pid} != $pid } keys %{ $pids{$pid} } }
    keys %pids), 'a worker answered that is not the owner')
    or diag(explain(\%pids));


# media: one output is stopped and started, the others lose nothing

my $one = $t->mcpkt('recv', 'udp://127.0.0.1:%%media_1%%', '--seconds', 60);
my $two = $t->mcpkt('recv', 'udp://127.0.0.1:%%media_2%%', '--seconds', 60);

sub packets {
    my ($name) = @_;

    return $t->output('media', $name)->{packets};
}

my $before = packets('one');
$t->wait_for(sub { packets('one') > $before + 20 }, 10, 'media flows');

post_ok('media/outputs/two/stop');
$before = packets('two');
my $n = packets('one');
$t->wait_for(sub { packets('one') > $n + 20 }, 10, 'the others go on');
is(packets('two'), $before, 'this one does not');

post_ok('media/outputs/two/start');
$t->wait_for(sub { packets('two') > $before + 20 }, 10, 'until it is started');

$_->signal('TERM') for $one, $two;

my ($got1, $got2) = ($one->json, $two->json);

is($got1->{lost}, 0, 'no packet is lost by the others');
cmp_ok($got1->{datagrams}, '>', 60, 'of quite some');
cmp_ok($got2->{lost}, '>=', 20, 'those are missing here');
is($got2->{reordered} + $got2->{duplicate}, 0, 'no more than that');


# media: peers of a flow that is stopped

$t->wait_for(sub { $t->output('media', 'three')->{state} eq 'connected' }, 10,
             'a receiver');

my $sender = $t->mcpkt('send', "srt://127.0.0.1:%%peers%%?passphrase=$SECRET",
                       '--rate', '300k', '--seconds', 100, '--reconnect');
my $player = $t->mcpkt('recv', 'srt://127.0.0.1:%%peers_o%%'
                       . "?passphrase=$SECRET&streamid=x", '--reconnect',
                       '--wait', 60, '--seconds', 100);

sub connected {
    my ($name) = @_;

    my $f = $t->flow($name);

    return $f->{sources}[0]{state} eq 'connected'
           && $f->{outputs}[0]{state} eq 'connected';
}

$t->wait_for(sub { connected('peers') }, 10, 'sender and receiver');

$f = post_ok('peers/stop');
is(join(' ', map { $_->{state} } $f->{sources}[0], $f->{outputs}[0]),
   'stopped stopped', 'are disconnected');
is($f->{sources}[0]{disconnections}, 1, 'the sender');
is($f->{outputs}[0]{disconnections}, 1, 'and the receiver');
is_deeply($f->{outputs}[0]{peers}, [], 'nobody is left');

$f = post_ok('peers/start');
$t->wait_for(sub { connected('peers') }, 20, 'and come back');
is($t->source('peers')->{connections}, 2, 'the sender');

$before = $t->output('peers', 'out')->{packets};
$t->wait_for(sub { $t->output('peers', 'out')->{packets} > $before + 20 }, 10,
             'media flows again');


# a client that does not wait, and an owner that does not answer

my $owner = $t->flow('media')->{pid};

$t->wait_for(sub { !$t->exiting_pids }, 5);
kill 'STOP', $owner;

# as long as it sleeps in epoll_wait() the kernel may choose it to be woken

$t->wait_for(sub { MC::_slurp("/proc/$owner/status") =~ /^State:\s+T/m }, 5,
             'the owner is stopped');

my $begin = time();
$f = post_ok('media/outputs/two/stop', 'an owner that hangs');
my $took = time() - $begin;
cmp_ok($took, '>', 0.4, 'is waited for');
cmp_ok($took, '<', 5, 'but not for long');
is((grep { $_->{name} eq 'two' } @{ $f->{outputs} })[0]{state_by}, 'operator',
   'what was asked for is known');

for (1 .. 20) {
    my $s = IO::Socket::IP->new(PeerHost => '127.0.0.1',
                                PeerPort => $t->port('http'));
    print $s "POST /mc/flows/media/outputs/two/"
             . ($_ % 2 ? 'start' : 'stop') . " HTTP/1.1\r\nHost: x\r\n\r\n";
    close $s;
}

$t->poll(sub { $t->output('media', 'two')->{state_by} eq 'operator'
               && $t->get('')->{status} == 200 }, 5);
kill 'CONT', $owner;

post_ok('media/outputs/two/stop');
is(outputs('media', 'two'), 'stopped by operator', 'the last word counts');
post_ok('media/outputs/two/start');
$before = packets('two');
$t->wait_for(sub { packets('two') > $before + 5 }, 10, 'and it runs again');


# reloads

post_ok($_) for qw{ media/stop off/start both/outputs/o/stop };

my @set = (['media', 'stopped', 'operator'], ['off', 'running', 'operator'],
           ['both', 'running', 'config'], ['peers', 'running', 'config']);

sub all_set {
    my ($why) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_flow(@$_, "$why: $_->[0]") for @set;

    $t->poll(sub { outputs('both', 'o')
                   eq 'stopped by operator, stopped by operator'
                   && outputs('both', 'p')
                      eq 'connected by operator, connected by config'
                   && $t->output('off', 'o')->{state} eq 'connected' }, 5);

    is(outputs('both', 'o'), 'stopped by operator, stopped by operator',
       "$why: an output that was stopped");
    is(outputs('both', 'p'), 'connected by operator, connected by config',
       "$why: an output that was started");
    is(outputs('off', 'o'), 'connected by config', "$why: off runs");
    is(outputs('media', 'one'), 'stopped by config', "$why: media does not");
    is($t->flow('both')->{active_source}, 'backup', "$why: the source");
}

all_set('as it was asked for');

$t->reload;
all_set('after a reload');

$t->reload(flows => flows(map { with($_, qr/^/, 'mc_title "x";') }
                          qw/ media off both /));
all_set('after a reload that changes other things');


# death of the owner

$t->allow(qr/exited on signal 9/);
$owner = $t->flow('media')->{pid};
kill 'KILL', $owner;
$t->wait_for(sub { my $pid = $t->flow('media')->{pid};
                   $pid && $pid != $owner && $t->worker_pids == 2 }, 10,
             'another owner');
all_set('after the death of the owner');


# a full restart

$t->stop('quit');
$t->start;
all_set('after a restart');

my @workers = $t->worker_pids(1);
kill 'KILL', $t->pid, @workers;
$t->poll(sub { !$t->running }, 5);
$t->start;
all_set('after the death of all');

# old workers accept for a moment longer, and have the old configuration

sub reload {
    $t->reload(@_);
    $t->poll(sub { $t->worker_pids == 2 }, 10);
}

reload(flows => flows(), control => 0);
all_set('without control');
is(code($t->post('/flows/media/start')), '403 control_off', 'no control');
$t->stop;
$t->start;
all_set('after a restart without control');
$t->reload(control => 1);


# the configuration changes its mind

$t->reload(flows => flows(with('off', qr/mc_state\s+off;/, ''),
                          with('media', qr/^/, 'mc_state off;'),
                          with('both', qr/backup;\s+mc_output  o/,
                               'backup; mc_output  o'),
                          with('both', qr/%%both_p%%\s+off/, '%%both_p%%')));
is_flow('off', 'running', 'config', 'off to on');
is_flow('media', 'stopped', 'config', 'on to off');
$t->wait_for(sub { outputs('both', 'p')
                   eq 'connected by config, connected by config' }, 5,
             'an output that is on now');
is(outputs('both', 'o'), 'stopped by operator, stopped by operator',
   'another was not changed');
is($t->flow('both')->{active_source}, 'backup', 'nor was the source');

$t->reload(flows => flows());
is_flow('off', 'stopped', 'config', 'and back: nothing is left');
is_flow('media', 'running', 'config', 'and back: nothing is left');
is((split /, /, outputs('both', 'p'))[0], 'stopped by config',
   'and back: nothing is left');


# what is gone is forgotten

post_ok($_) for qw{ media/stop media/outputs/two/stop };

$t->reload(flows => flows(media => undef,
                          both => '
        mc_source  udp://127.0.0.1:%%both%%;
        mc_output  p  udp://127.0.0.1:%%both_p%%  off;'));
is($t->flow('both')->{active_source}, 'primary', 'no other source');

$t->reload(flows => flows());
is_flow('media', 'running', 'config', 'a flow that was away');
$t->wait_for(sub { outputs('media', 'two') eq 'connected by config' }, 5,
             'and its output');
$t->wait_for(sub { outputs('both', 'o')
                   eq 'connected by config, connected by config' }, 5,
             'an output that was away');
is($t->flow('both')->{active_source}, 'primary', 'a source that was away');
is($t->read_file($state) =~ tr/\n//, 2, 'the state file is empty')
    or diag($t->read_file($state));


# the same over a restart

post_ok($_) for qw{ media/stop off/start both/outputs/o/stop
                    both/source/backup };
$t->stop;

$t->{flows} = flows(with('off', qr/mc_state\s+off;/, ''),
                    with('media', qr/^/, 'mc_state off;'),
                    both => '
        mc_source  udp://127.0.0.1:%%both%%;
        mc_output  p  udp://127.0.0.1:%%both_p%%  off;');
$t->start;
is_flow('off', 'running', 'config', 'off to on over a restart');
is_flow('media', 'stopped', 'config', 'on to off over a restart');
is($t->flow('both')->{active_source}, 'primary', 'no other source');

$t->reload(flows => flows());
is_flow('off', 'stopped', 'config', 'and back: nothing is left');
is_flow('media', 'running', 'config', 'and back: nothing is left');
is($t->flow('both')->{active_source}, 'primary', 'nothing of the source');
$t->wait_for(sub { outputs('both', 'o')
                   eq 'connected by config, connected by config' }, 5,
             'nor of the output');


# a state file that cannot be used

post_ok('media/stop');
$t->stop;

my $good = $t->read_file($state);
like($good, qr/^flow media stop$/m, 'the state');

my $uids = (stat $state)[4];

for my $c (['torn', substr($good, 0, length($good) - 9)],
           ['longer', $good . $good],
           ['changed', $good =~ s/media/other/r],
           ['foreign', "something else\n" x 100],
           ['binary', join '', map { chr } 0 .. 255],
           ['of another version', $good =~ s/state 1/state 9/r])
{
    my ($why, $text) = @$c;

    $t->write_file('nginx.pid.mc.state', $text);
    $t->log_mark;
    $t->start;

    is_flow('media', 'running', 'config', "$why: ignored");
    my @lines = $t->log =~ /\[error\][^\n]*mc\.state[^\n]*/g;
    is(@lines, 1, "$why: one line in the log") or diag(@lines);

    $t->stop;
}

$t->write_file('nginx.pid.mc.state', $good);
$t->log_mark;
$t->start;
is_flow('media', 'stopped', 'operator', 'a good one is not');
unlike($t->log, qr/\[error\][^\n]*mc\.state/, 'and nothing is logged');

# removed under a running nginx: the next reload makes it anew

unlink $state;
reload();
is($t->read_file($state), $good, 'the file is made anew');
post_ok('media/outputs/one/stop');
like($t->read_file($state), qr/^output media one primary stop$/m,
     'and is used');

# something that is no file of ours

$t->stop;
unlink $state;
symlink $t->dir . '/nginx.conf', $state;
my $conf = $t->read_file('nginx.conf');
$t->start;
is_flow('media', 'running', 'config', 'a symlink is not followed');
is(post_ok('media/stop')->{state_by}, 'operator', 'and control works');
is($t->read_file('nginx.conf'), $conf, 'nothing was written through it');
$t->stop;
unlink $state;


# no file without need

$t->{control} = 0;
$t->{http_conf} = '';
$t->start;
$t->reload;
ok(!-e $state, 'no state file without control');


# secrets

$r = $t->get('');
unlike($r->{content}, qr/$SECRET/, 'no secret in the status');
unlike($good, qr/$SECRET/, 'nor in the state');
unlike($t->read_file('error.log'), qr/$SECRET/, 'nor in the log')
    unless $ENV{MC_DEBUG};

$t->finish;
done_testing();
