/* date.c - strftime_now: a date of the proleptic Gregorian calendar as text, in English whatever the locale is. */
#include "src/chat/internal.h"

#include <stdio.h>
#include <string.h>

struct date {
    int64_t year;
    int month, day, hour, minute, second, weekday, yearday; /* month, weekday, yearday from 0; weekday 0: Sunday */
};

/* From days since 1970-01-01, counted in eras of 400 years that begin in March. */
static struct date date_of(int64_t seconds)
{
    static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
    int64_t days = seconds / 86400, rest = seconds % 86400;
    if (rest < 0)
        rest += 86400, days--;
    int64_t since = days + 719468, era = (since >= 0 ? since : since - 146096) / 146097, doe = since - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    struct date d = { .year = yoe + era * 400, .day = (int)(doy - (153 * mp + 2) / 5 + 1), .month = (int)(mp < 10 ? mp + 2 : mp - 10) };

    d.year += d.month < 2;
    d.hour = (int)(rest / 3600);
    d.minute = (int)(rest / 60 % 60);
    d.second = (int)(rest % 60);
    d.weekday = (int)(((days + 4) % 7 + 7) % 7);
    bool leap = (d.year % 4 == 0 && d.year % 100 != 0) || d.year % 400 == 0;
    d.yearday = before[d.month] + d.day - 1 + (leap && d.month > 1);
    return d;
}

/* One conversion; plain: "-" stood before the letter, no leading zero. False: there is none with that letter. */
static bool convert(const struct date *d, char letter, bool plain, char *out, size_t cap)
{
    static const char *const months[] = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                                          "November", "December" };
    static const char *const days[] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" };
    int width = plain ? 1 : 2, hour12 = d->hour % 12 ? d->hour % 12 : 12;

    switch (letter) {
    case 'Y': snprintf(out, cap, "%lld", (long long)d->year); return true;
    case 'y': snprintf(out, cap, "%0*d", width, (int)(((d->year % 100) + 100) % 100)); return true;
    case 'm': snprintf(out, cap, "%0*d", width, d->month + 1); return true;
    case 'd': snprintf(out, cap, "%0*d", width, d->day); return true;
    case 'e': snprintf(out, cap, "%*d", width, d->day); return true;
    case 'H': snprintf(out, cap, "%0*d", width, d->hour); return true;
    case 'I': snprintf(out, cap, "%0*d", width, hour12); return true;
    case 'M': snprintf(out, cap, "%0*d", width, d->minute); return true;
    case 'S': snprintf(out, cap, "%0*d", width, d->second); return true;
    case 'j': snprintf(out, cap, "%0*d", plain ? 1 : 3, d->yearday + 1); return true;
    case 'B': snprintf(out, cap, "%s", months[d->month]); return true;
    case 'b': snprintf(out, cap, "%.3s", months[d->month]); return true;
    case 'A': snprintf(out, cap, "%s", days[d->weekday]); return true;
    case 'a': snprintf(out, cap, "%.3s", days[d->weekday]); return true;
    case 'w': snprintf(out, cap, "%d", d->weekday); return true;
    case 'u': snprintf(out, cap, "%d", d->weekday ? d->weekday : 7); return true;
    case 'p': snprintf(out, cap, "%s", d->hour < 12 ? "AM" : "PM"); return true;
    case 'F': snprintf(out, cap, "%lld-%02d-%02d", (long long)d->year, d->month + 1, d->day); return true;
    case 'T': snprintf(out, cap, "%02d:%02d:%02d", d->hour, d->minute, d->second); return true;
    case '%': snprintf(out, cap, "%%"); return true;
    default: return false;
    }
}

bool chat_date(struct chat *c, const struct chat_string *format, struct chat_value *out)
{
    struct date d = date_of(c->now);
    struct chat_builder b = { 0 };

    for (size_t i = 0; i < format->n; i++) {
        char text[32];
        if (format->p[i] != '%') {
            if (!chat_add_text(c, &b, format->p + i, 1))
                return false;
            continue;
        }
        bool plain = i + 1 < format->n && format->p[i + 1] == '-';
        i += plain ? 2 : 1;
        if (i >= format->n || !convert(&d, format->p[i], plain, text, sizeof text))
            return chat_fail(c, PRISM_E_UNSUPPORTED, "strftime_now: \"%.*s\" has a conversion that is not supported", SHOW(format->p, format->n));
        if (!chat_add_text(c, &b, text, strlen(text)))
            return false;
    }
    return chat_built(c, &b, out);
}
