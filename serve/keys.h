/* keys.h - who may ask for what: the roles of API keys. */
#ifndef SERVE_KEYS_H
#define SERVE_KEYS_H

/* A route names the roles that may ask it; a key has one or more. Without --keys every route is open. */
enum serve_role {
    SERVE_ADMIN = 0,   /* of a route: only administrators, who may ask everything */
    SERVE_PREDICT = 1, /* pictures in, answers and feedback */
    SERVE_OBSERVE = 2, /* metrics and the model's facts */
    SERVE_OPEN = 4     /* of a route: nobody needs a key (the page, probes) */
};

#endif
