//! NIFs for calls so short that rustler's argument vector would show: the same table, the same
//! handling of panics, and the arguments read where the VM put them.
use rustler::codegen_runtime::c_int;
use rustler::sys::{ErlNifEnv, ErlNifTerm, enif_make_badarg, enif_raise_exception};
use rustler::{Env, NifResult, Term};

/// The body of such a NIF. It gets exactly as many terms as its arity says.
pub type Body = for<'a> fn(Env<'a>, &[Term<'a>]) -> NifResult<Term<'a>>;

/// Most arguments that a NIF of this kind takes.
const MOST: usize = 7;

/// Calls `body`, and turns what comes of it into what the VM wants.
///
/// # Safety
/// The arguments are those that the VM gives a NIF.
pub unsafe fn call(
    nif_env: *mut ErlNifEnv,
    argc: c_int,
    argv: *const ErlNifTerm,
    body: Body,
) -> ErlNifTerm {
    let lifetime = ();
    // SAFETY: the VM's environment outlives this call, and `lifetime` is this call's own.
    let env = unsafe { Env::new(&lifetime, nif_env) };
    // No NIF of this kind is without arguments, or has more than `MOST`.
    let argc = (argc as usize).clamp(1, MOST);
    // SAFETY: the VM gives `argc` terms of this environment; the places past the last repeat it.
    let given = |at: usize| unsafe { Term::new(env, *argv.add(at.min(argc - 1))) };
    let terms: [Term; MOST] = std::array::from_fn(given);
    let result =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(env, &terms[..argc])));
    match result {
        Ok(Ok(term)) => term.as_c_arg(),
        // SAFETY: the exception is of this call's own environment.
        Ok(Err(_)) => unsafe { enif_make_badarg(nif_env) },
        Err(_) => {
            let reason = crate::terms::atoms::nif_panicked().as_c_arg();
            // SAFETY: as above.
            unsafe { enif_raise_exception(nif_env, reason) }
        }
    }
}

/// Puts a [`Body`] into the table of NIFs: `raw_nif!("name", arity, Normal, body)`.
macro_rules! raw_nif {
    ($name:literal, $arity:literal, $schedule:ident, $body:path) => {
        rustler::codegen_runtime::inventory::submit!(rustler::Nif {
            name: concat!($name, "\0").as_ptr() as *const rustler::codegen_runtime::c_char,
            arity: $arity,
            flags: rustler::SchedulerFlags::$schedule as rustler::codegen_runtime::c_uint,
            raw_func: {
                unsafe extern "C" fn raw_func(
                    env: *mut rustler::sys::ErlNifEnv,
                    argc: rustler::codegen_runtime::c_int,
                    argv: *const rustler::sys::ErlNifTerm,
                ) -> rustler::sys::ErlNifTerm {
                    // SAFETY: the VM calls this with the arguments of a NIF.
                    unsafe { crate::raw::call(env, argc, argv, $body) }
                }
                raw_func
            }
        });
    };
}
pub(crate) use raw_nif;
