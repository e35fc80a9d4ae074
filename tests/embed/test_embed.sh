#!/bin/bash
# The library as an application sees it: installed below a staging directory, found through pkg-config, linked into example.c and into the
# shared object of plugin.c.
# Prints its result in cmocka's words, for run-tests.sh. PRISM_BUILD, CC, MAKE: BUILD, CC and MAKE of the Makefile.
set -u
cd "$(dirname "$0")/../.." || exit 1

BUILD=${PRISM_BUILD:-build} CC=${CC:-gcc} MAKE=${MAKE:-make}
stage=$(mkdir -p "$BUILD/stage" && cd "$BUILD/stage" && pwd) || exit 1
example=$stage/example
model=models/gutenberg-llama-16m-q8_0.gguf
prompt='It was the best of times, it was the worst of times, it was the age of'
passed=0 failed=0
unset MAKEFLAGS MAKELEVEL MFLAGS

# check NAME COMMAND...: one test.
check() {
    local name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "[  FAILED  ] $name"
    fi
}

install_tree() {
    rm -rf "${stage:?}/usr"
    $MAKE -s BUILD="$BUILD" CC="$CC" PREFIX=/usr DESTDIR="$stage" install &&
        [ -f "$stage/usr/lib/libprismcpu.a" ] && [ -x "$stage/usr/bin/prism-run" ] && [ -f "$stage/usr/include/prism/prism.h" ]
}

header_alone() { # COMPILER FLAGS...
    echo '#include <prism/prism.h>' | "$@" -Wpedantic -Wall -Wextra -Wshadow -Werror -I"$stage/usr/include" -fsyntax-only -
}

flags() { PKG_CONFIG_PATH=$stage/usr/lib/pkgconfig pkg-config --static "$@" prismcpu; }

build_example() {
    # shellcheck disable=SC2046
    $CC -std=c11 -Wall -Wextra -Werror $(flags --cflags) tests/embed/example.c -o "$example" $(flags --libs)
}

same_version() {
    [ "$(flags --modversion)" = "$(sed -n 's/^#define PRISM_VERSION "\(.*\)"/\1/p' include/prism/prism.h)" ]
}

# The library's own greedy continuation is the tool's.
same_text() {
    local ours theirs
    ours=$("$example" $model "$prompt") || return 1
    theirs=$("$stage/usr/bin/prism-run" -m $model -p "$prompt" -n 16 --temp 0 2>/dev/null) || return 1
    [ "${#ours}" -gt 10 ] && [ "$ours" = "$theirs" ] && return
    printf 'example:   %s\nprism-run: %s\n' "$ours" "$theirs"
    return 1
}

# Text that is not position-independent, or a symbol that is missing, fails the link.
build_plugin() {
    # shellcheck disable=SC2046
    $CC -std=c11 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden $(flags --cflags) tests/embed/plugin.c -o "$stage/plugin.so" \
        -Wl,-z,defs -Wl,-z,text $(flags --libs) &&
        $CC -std=c11 -Wall -Wextra -Werror tests/embed/host.c -o "$stage/host" -ldl
}

plugin_prefills() { # the token that the tool generates
    local ours theirs
    ours=$("$stage/host" "$stage/plugin.so" $model "$prompt") || return 1
    theirs=$("$stage/usr/bin/prism-run" -m $model -p "$prompt" -n 1 --temp 0 --json 2>/dev/null | sed -n 's/.*"tokens": \[\([0-9]*\)\].*/\1/p')
    [ -n "$theirs" ] && [ "$ours" = "$theirs"$'\n'"$theirs" ] && return
    printf 'plugin, twice: %s\nprism-run: %s\n' "$ours" "$theirs"
    return 1
}

error_is_told() {
    local text
    text=$("$example" /nonexistent.gguf x 2>&1) && return 1
    [[ $text == "error: "*nonexistent.gguf* ]]
}

uninstall_tree() {
    $MAKE -s BUILD="$BUILD" CC="$CC" PREFIX=/usr DESTDIR="$stage" uninstall && [ -z "$(find "$stage/usr" -type f)" ]
}

check "install" install_tree
# shellcheck disable=SC2086
check "the header alone, C11" header_alone $CC -std=c11 -x c
if command -v g++ >/dev/null; then
    check "the header alone, C++17" header_alone g++ -std=c++17 -x c++
else
    echo "skipped: no g++ to compile the header as C++17"
fi
check "version of pkg-config and header" same_version
check "example.c builds from pkg-config alone" build_example
if [ -f $model ]; then
    check "example prints prism-run's greedy continuation" same_text
else
    echo "skipped: $model not present"
fi
check "plugin.c builds as a shared object" build_plugin
if [ -f $model ]; then
    check "a plugin prefills" plugin_prefills
fi
check "an absent model is an error in words" error_is_told
check "uninstall leaves nothing" uninstall_tree

[ $failed -eq 0 ] || echo "[  FAILED  ] $failed test(s)"
echo "[  PASSED  ] $passed test(s)"
[ $failed -eq 0 ]
